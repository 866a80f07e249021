"""What people do with pyxet all day, on an endpoint that behaves like the Hub: small quotas, slow commits, short lives."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from support.cli import Cli
from support.contents import content
from support.hf_client import run_hf
from support.history import messages
from support.pages import ROOT
from support.proxied import asynchronous
from support.sources import SourceFileSystem, content_of, source_tree

import pyxet
from pyxet.server.quotas import QUOTAS
from pyxet.testing import HubBehaviour, LocalEndpoint, local_endpoint

# Xet tokens and signed URLs end while they are in use, though a busy machine has time to use them. A commit of 150 files, or more, takes too long.
BEHAVIOUR = HubBehaviour(
    api=12, resolvers=12, pages=12, window=1, commit_timeout=0.6, commit_seconds_per_file=0.004,
    commit_files=1000, token_life=4, url_life=3, latency=0.003,
)  # fmt: skip
REPO = "test/flow"
MAIN = f"{REPO}/main"


@pytest.fixture
def behaviour() -> HubBehaviour:
    return BEHAVIOUR


@pytest.fixture
def hub(behaviour: HubBehaviour) -> Iterator[LocalEndpoint]:
    with local_endpoint(like_hub=behaviour) as running:
        yield running


@pytest.fixture
def fs(hub: LocalEndpoint) -> pyxet.XetFS:
    found = pyxet.XetFS(hub.url, hub.user, hub.token)
    found.make_repo(REPO)
    found.rm(f"{MAIN}/.gitattributes", message="Begin")
    return found


@pytest.fixture
def xet_command(hub: LocalEndpoint, tmp_path: Path) -> Cli:
    return Cli(hub, tmp_path, {"HOME": str(tmp_path / "home")})


def check_quota(hub: LocalEndpoint) -> None:
    """More was answered than one window allows."""
    quotas = hub.start().app[QUOTAS]
    assert BEHAVIOUR.api is not None
    assert quotas.counted["api"] - quotas.refused["api"] > BEHAVIOUR.api, quotas.counted


def check_log(fs: pyxet.XetFS, *expected: str) -> None:
    """Each commit is in the log once, in this order."""
    assert messages(fs, MAIN) == ["Begin", *expected]


def test_titanic(hub: LocalEndpoint, fs: pyxet.XetFS, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("ENDPOINT", hub.url), ("USER_NAME", hub.user), ("USER_TOKEN", hub.token)):
        monkeypatch.setenv(f"XET_{name}", value)
    source = ROOT / "examples" / "data" / "titanic.csv"
    fs.put(str(source), f"{MAIN}/titanic.csv", message="Passengers")
    fs.make_branch(REPO, "main", "experiment-1")
    fs.pipe(f"{REPO}/experiment-1/old.csv", b"old", message="Old")
    df = pd.read_csv(f"xet://{MAIN}/titanic.csv")
    pd.testing.assert_frame_equal(df, pd.read_csv(source))
    with fs.transaction as tr:
        tr.set_commit_message("experiment 1")
        df.to_csv(fs.open(f"{REPO}/experiment-1/metrics/results.csv", "w"), index=False)
        fs.rm(f"{REPO}/experiment-1/old.csv")
    assert messages(fs, f"{REPO}/experiment-1") == ["Begin", "Passengers", "Old", "experiment 1"]
    assert fs.cat_file(f"{REPO}/experiment-1/metrics/results.csv").decode() == df.to_csv(index=False)
    assert not fs.exists(f"{REPO}/experiment-1/old.csv")
    check_quota(hub)


def test_an_ingest_whose_commit_is_answered_too_late(
    hub: LocalEndpoint, fs: pyxet.XetFS, notes: Path, journal: Path
) -> None:  # fmt: skip
    files = source_tree(300, large=2)
    source = SourceFileSystem(files, str(notes))
    options: dict[str, Any] = {
        "source_fs": source,
        "fs": fs,
        "message": "Corpus",
        "journal": journal,
        "batch_files": 50,
    }
    report = pyxet.ingest("tree", MAIN, **options)
    assert (report.files, report.bytes, report.failed) == (302, sum(files.values()), 0)
    check_log(fs, "Corpus")
    assert [commit.id for commit in report.commits] == [fs.log(MAIN)[0].id]
    assert {name: hash(data) for name, data in fs.cat(MAIN, recursive=True).items()} == {
        f"{MAIN}/{path.removeprefix('tree/')}": hash(content_of(path, size)) for path, size in files.items()
    }
    again = pyxet.ingest("tree", MAIN, **options)
    assert (again.resumed_files, again.commits) == (302, ())
    check_log(fs, "Corpus")
    check_quota(hub)


def test_copies_and_syncs_of_the_command(hub: LocalEndpoint, fs: pyxet.XetFS, xet_command: Cli) -> None:
    expected = {f"d{number % 4}/{number}.bin": content(number) for number in range(160)} | {
        "large.bin": content(1, 3_000_000)
    }
    for name, data in expected.items():
        path = xet_command.folder / "up" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def local(folder: str) -> dict[str, bytes]:
        top = xet_command.folder / folder
        return {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}

    xet_command("cp", "-r", "up", f"{MAIN}/data", "-m", "Copy")
    xet_command("cp", "-r", f"{MAIN}/data", "down")
    assert local("down") == expected
    assert xet_command("sync", "up", f"{MAIN}/data", "--json").json["files"] == 0
    (xet_command.folder / "up" / "d0" / "0.bin").write_bytes(b"changed")
    done = xet_command("sync", "up", f"{MAIN}/data", "-m", "Sync", "--json").json
    assert (done["files"], done["skipped"], len(done["commits"])) == (1, 160, 1)
    assert xet_command("sync", "up", f"{MAIN}/data", "--json").json["commits"] == []
    assert xet_command("sync", f"{MAIN}/data", "down", "--json").json["files"] == 1
    assert local("down") == local("up") == expected | {"d0/0.bin": b"changed"}
    check_log(fs, "Copy", "Sync")
    check_quota(hub)


async def test_many_files_read_at_once_in_pieces(hub: LocalEndpoint, fs: pyxet.XetFS) -> None:
    expected = {f"{MAIN}/{number}": content(number, 200_000) for number in range(30)}
    await asyncio.to_thread(fs.pipe, expected, message="Files")

    async def read(path: str) -> bytes:
        pieces = []
        async with await fs.open_async(path, "rb") as file:
            while piece := await file.read(70_000):
                pieces.append(piece)
                # Beyond the life of the URL that it began with.
                if len(pieces) == 1:
                    await asyncio.sleep(BEHAVIOUR.url_life + 0.1)
        return b"".join(pieces)

    async with asynchronous(hub) as fs:
        found = await asyncio.gather(*(read(path) for path in expected))
    assert found == list(expected.values())


async def test_many_look_ups_at_once(hub: LocalEndpoint, fs: pyxet.XetFS) -> None:
    """They take several windows, as all of them are wanted at once, and none fails."""
    names = [f"test/other{number}" for number in range(5)]
    for name in names:
        await asyncio.to_thread(fs.make_repo, name)
    async with asynchronous(hub) as fs:
        ways: list[Any] = [fs._log, fs._find, fs._branch_info, fs._ls, fs._info]
        quotas = hub.start().app[QUOTAS]
        found = await asyncio.gather(*(way(f"{name}/main") for way in ways for name in names for _ in range(3)))
    assert all(found)
    assert quotas.used_up["api"] >= 1, "it was met"
    check_quota(hub)


def test_files_read_and_written_in_pieces(hub: LocalEndpoint, fs: pyxet.XetFS) -> None:
    data = content(3, 6_000_000)
    with fs.transaction(message="Pieces"):
        for number in range(3):
            with fs.open(f"{MAIN}/{number}.bin", "wb") as file:
                for start in range(0, len(data), 1_000_000):
                    file.write(data[start : start + 1_000_000])
    with fs.open(f"{MAIN}/1.bin", "rb", cache_type="none") as file:
        for start in (5_900_000, 0, 3_000_000, 100, 4_999_999):
            file.seek(start)
            assert file.read(100_000) == data[start : start + 100_000]
    for number in range(3):
        assert fs.cat_file(f"{MAIN}/{number}.bin") == data
    check_log(fs, "Pieces")


def test_a_pull_request(hub: LocalEndpoint, fs: pyxet.XetFS) -> None:
    fs.pipe({f"{MAIN}/a.txt": b"one\n", f"{MAIN}/large.bin": content(1, 300_000)}, message="First")
    guest = pyxet.XetFS(hub.url, "guest", hub.add_token("guest"))
    with guest.transaction(message="Better", pull_request=True) as tr:
        guest.pipe({f"{MAIN}/d/{number}": content(number) for number in range(170)})
        guest.rm(f"{MAIN}/a.txt")
    [proposed] = tr.pull_requests
    assert guest.cat_file(f"{REPO}/pr%2F1/d/3") == content(3)
    fs.merge_pull_request(REPO, proposed.number)
    assert fs.list_pull_requests(REPO, "all")[0].status == "merged"
    assert len(fs.find(MAIN)) == 171
    assert fs.cat_file(f"{MAIN}/d/169") == content(169)
    assert not fs.exists(f"{MAIN}/a.txt")
    assert len(messages(fs, MAIN)) == 3
    check_quota(hub)


# hf_xet asks for a token with each request where tokens are good for less than half a minute, and gives up at a 429.
@pytest.mark.parametrize("behaviour", [replace(BEHAVIOUR, token_life=3600)])
def test_what_the_hubs_own_tools_store_and_read(hub: LocalEndpoint, fs: pyxet.XetFS, tmp_path: Path) -> None:
    expected = {f"{number}.bin": content(number, 50_000) for number in range(12)} | {"a.txt": b"text\n"}
    for name, data in expected.items():
        (tmp_path / name).write_bytes(data)
    found = run_hf(
        hub,
        """
import hashlib, pathlib
api.upload_folder(repo_id="test/flow", folder_path=given["source"], commit_message="Theirs")
folder = pathlib.Path(snapshot_download("test/flow"))
answer = {str(path.relative_to(folder)): path.read_bytes().hex() for path in folder.rglob("*") if path.is_file()}
""",
        source=str(tmp_path),
    )
    assert {name: bytes.fromhex(data) for name, data in found.items()} == expected
    # One that looks at the branch anew, as others have written to it.
    fresh = pyxet.XetFS(hub.url, hub.user, hub.token, listings_expiry_time=0)
    assert fresh.cat(MAIN, recursive=True) == {f"{MAIN}/{name}": data for name, data in expected.items()}
    check_log(fs, "Theirs")
    check_quota(hub)
