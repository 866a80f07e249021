"""An endpoint's directory and port are for those who may use them: modes of what is stored, and who is answered."""

from __future__ import annotations

import os
import random
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.raw_client import RawClient, Served, regular

import pyxet
from pyxet.local import embedded
from pyxet.server.privacy import make_root, own_umask
from pyxet.testing import local_endpoint

pytestmark = pytest.mark.needs("modes")

REPO = "acme/x"


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    assert os.umask(before) == 0o022


def open_to_others(root: Path) -> list[str]:
    """What others than the owner may do something with.

    Where no thread can have a umask of its own that is what the folders above leave open.
    """
    with ThreadPoolExecutor(1) as pool:
        strict = pool.submit(own_umask).result()
    if not strict and not root.stat().st_mode & 0o077:
        return []
    return sorted(
        str(path.relative_to(root))
        for path in (root, *root.rglob("*"))
        if path.lstat().st_mode & 0o077 and not path.is_symlink()
    )


def use(client: RawClient) -> None:
    client.make_repo(REPO)
    made = client.upload(REPO, random.Random(1).randbytes(100_000))
    assert client.commit(REPO, made.line("a.bin"), regular("b.txt", "text")).status == 200
    assert client.commit(REPO, *(regular(f"many/{number}", str(number)) for number in range(40))).status == 200
    assert client.post(f"/api/models/{REPO}/branch/work%2Fone", {}).status == 200
    assert client.post(f"/api/models/{REPO}/tag/main", {"tag": "v1", "message": "first"}).status == 200
    assert client.post(f"/api/models/{REPO}/duplicate", {"repository": "acme/copy"}).status == 200
    assert client.post("/api/repos/move", {"fromRepo": REPO, "toRepo": "acme/y", "type": "model"}).status == 200


# -- modes -------------------------------------------------------------------------------------------------------------


def test_all_that_is_stored_is_private(tmp_path: Path) -> None:
    root = tmp_path / "root"
    with local_endpoint(root) as endpoint:
        use(RawClient(endpoint, endpoint.token))
        assert open_to_others(root) == []
        # The rest of the program goes on with its own.
        (tmp_path / "theirs").touch()
        assert stat.S_IMODE((tmp_path / "theirs").stat().st_mode) == 0o644
    assert open_to_others(root) == []


def test_what_xet_serve_stores_is_private(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pyxet", "serve", "--root", str(tmp_path / "root"), "--port", "0", "--token", "t"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        use(RawClient(Served(process.stdout.readline().split(" at ")[1].split()[0]), "t"))
        assert open_to_others(tmp_path / "root") == []
        process.terminate()


def test_an_existing_store_is_closed_to_others(tmp_path: Path) -> None:
    root = tmp_path / "root"
    with local_endpoint(root, token="t") as endpoint:
        use(RawClient(endpoint, "t"))
    for path in (root, *root.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    with local_endpoint(root, token="t") as endpoint:
        assert open_to_others(root) == []
        assert RawClient(endpoint, "t").get("/acme/y/resolve/main/b.txt").body == b"text"


def test_what_goes_while_a_directory_is_closed_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """Another process may end between the listing and the look at each file, and take with it what it left."""
    root = tmp_path / "root"
    make_root(root)
    (root / "lock").touch(mode=0o644)
    listed = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: [*listed(path), "holder", "holder.new", "index.sqlite-wal"])
    make_root(root)
    assert open_to_others(root) == []


def test_a_folder_with_other_things_keeps_its_mode(tmp_path: Path) -> None:
    root = tmp_path / "project"
    root.mkdir(mode=0o755)
    (root / "notes.txt").write_text("mine")
    (tmp_path / "elsewhere").mkdir(mode=0o755)
    with local_endpoint(root, token="t") as endpoint:
        use(RawClient(endpoint, "t"))
    assert [name for name in open_to_others(root) if "/" not in name] == [".", "notes.txt"]


# -- without a token ---------------------------------------------------------------------------------------------------


def test_an_embedded_endpoint_answers_nobody_without_its_token(tmp_path: Path) -> None:
    fs = pyxet.XetFS(endpoint=f"file://{tmp_path}/root")
    fs.make_repo("local/x")
    data = random.Random(2).randbytes(100_000)
    fs.pipe({"local/x/main/a.bin": data, "local/x/main/b.txt": b"text"})
    running = embedded(f"file://{tmp_path}/root")
    own = RawClient(running, running.token.reveal())
    plan = own.cas("local/x", "read").get(f"/v2/reconstructions/{fs.info('local/x/main/a.bin')['xet_hash']}").json
    [[fetch]] = plan["xorbs"].values()
    [span] = [part["bytes"] for part in fetch["ranges"]]
    for stranger in (RawClient(running), RawClient(running, "xet_wrong"), RawClient(running, "xet_e30=.0")):
        for route in (
            "/local/x/resolve/main/b.txt", "/local/x/resolve/main/a.bin", "/api/models", "/api/models/local/x",
            "/api/models/local/x/tree/main", "/api/models/local/x/xet-read-token/main", "/api/agent-harnesses",
            "/nothing/is/here", "/v1/reconstructions", fetch["url"],
        ):  # fmt: skip
            answer = stranger.get(route)
            assert answer.status in ((401, 403) if route == fetch["url"] else (401,)), route
            assert b"text" not in answer.body
        assert stranger.post("/api/validate-yaml", {"content": ""}).status == 401
    # The signature is proof enough for what was signed.
    wanted = f"bytes={span['start']}-{span['end']}"
    assert RawClient(running).get(fetch["url"], Range=wanted).status == 206
    assert RawClient(running).head(fetch["url"], Range=wanted).status == 401
    assert own.get("/api/agent-harnesses").status == 200
    assert fs.cat("local/x/main/a.bin") == data


def test_whether_strangers_read_is_for_whoever_starts_it(tmp_path: Path) -> None:
    for number, (anonymous, status) in enumerate(((True, 200), (False, 401))):
        with local_endpoint(tmp_path / str(number), anonymous=anonymous) as endpoint:
            RawClient(endpoint, endpoint.token).make_repo(REPO)
            assert RawClient(endpoint).get(f"/api/models/{REPO}").status == status
            guest = RawClient(endpoint, endpoint.add_token("guest"))
            assert guest.get(f"/api/models/{REPO}").status == 200
    for option, status in (("--anonymous", 200), ("--no-anonymous", 401)):
        command = [sys.executable, "-m", "pyxet", "serve", "--root", str(tmp_path / "0"), "--port", "0", option]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            url = process.stdout.readline().split(" at ")[1].split()[0]
            assert RawClient(Served(url)).get(f"/api/models/{REPO}").status == status
            process.terminate()
