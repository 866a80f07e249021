"""The local endpoint's routes that move, copy and change repositories, by hand and by the unmodified ``huggingface_hub``."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar, cast

import pytest
from support.gits import bare
from support.hf_client import run_hf
from support.raw_client import RawClient

from pyxet.server.git_repository import Repository
from pyxet.server.git_store import GitStore
from pyxet.testing import LocalEndpoint, local_endpoint
from pyxet.types import RepoId

NOISE = random.Random(1).randbytes(400_000)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[LocalEndpoint]:
    with local_endpoint(user="acme") as running:
        yield running


@pytest.fixture
def client(endpoint: LocalEndpoint) -> RawClient:
    return RawClient(endpoint, endpoint.token)


def move(client: RawClient, old: str, new: str, kind: str = "model") -> int:
    return client.post("/api/repos/move", {"fromRepo": old, "toRepo": new, "type": kind}).status


def duplicate(client: RawClient, repo: str, copy: str, **more: str) -> int:
    return client.post(f"/api/models/{repo}/duplicate", {"repository": copy, **more}).status


def stored(endpoint: LocalEndpoint) -> set[Path]:
    return {path for path in (endpoint.root / "xorbs").rglob("*") if path.is_file()}


def test_real_clients_move_change_and_duplicate(endpoint: LocalEndpoint) -> None:
    found = run_hf(
        endpoint,
        """
import random
from huggingface_hub import CommitOperationCopy
noise = random.Random(7).randbytes(300_000)
for kind in ("model", "dataset"):
    api.create_repo("acme/old", repo_type=kind)
    api.upload_file(path_or_fileobj=noise, path_in_repo="d/x.bin", repo_id="acme/old", repo_type=kind)
    api.upload_file(path_or_fileobj=b"text", path_in_repo="a.txt", repo_id="acme/old", repo_type=kind)
    api.create_branch("acme/old", branch="work", repo_type=kind)
    api.move_repo("acme/old", "acme/new", repo_type=kind)
    info = api.repo_info("acme/old", repo_type=kind)
    answer[f"{kind} by its old name"] = info.id
    for name in ("acme/old", "acme/new"):
        answer[f"{kind} read as {name}"] = open(hf_hub_download(name, "d/x.bin", repo_type=kind, force_download=True), "rb").read() == noise
    api.upload_file(path_or_fileobj=b"more", path_in_repo="b.txt", repo_id="acme/old", repo_type=kind)
    answer[f"{kind} written by its old name"] = api.list_repo_files("acme/new", repo_type=kind)
answer["move what is not there"] = failing(api.move_repo, "acme/nosuch", "acme/x")
answer["move onto another"] = failing(api.move_repo, "acme/new", "acme/new")
answer["settings"] = []
for change in ({"private": True}, {"visibility": "public"}, {"gated": False}, {"private": True}):
    api.update_repo_settings("acme/new", **change)
    answer["settings"].append(api.repo_info("acme/new").private)
answer["gated"] = failing(api.update_repo_settings, "acme/new", gated="auto")
answer["settings of what is not there"] = failing(api.update_repo_settings, "acme/nosuch", private=True)
copy = api.duplicate_repo("acme/new", "acme/copy")
answer["copy"] = [copy.repo_id, copy.files_copy_pending, api.repo_info("acme/copy").private]
answer["same commits"] = [c.commit_id for c in api.list_repo_commits("acme/copy")] == [c.commit_id for c in api.list_repo_commits("acme/new")]
answer["branches"] = [b.name for b in api.list_repo_refs("acme/copy").branches]
answer["copy has it"] = open(hf_hub_download("acme/copy", "d/x.bin"), "rb").read() == noise
answer["public copy"] = [api.duplicate_repo("acme/new", "acme/copy2", private=False).repo_id, api.repo_info("acme/copy2").private]
answer["copy again"] = failing(api.duplicate_repo, "acme/new", "acme/copy")
answer["copy again if need be"] = api.duplicate_repo("acme/new", "acme/copy", exist_ok=True).repo_id
answer["own name"] = failing(api.duplicate_repo, "acme/new")
answer["copy what is not there"] = failing(api.duplicate_repo, "acme/nosuch", "acme/y")
api.create_repo("acme/target", repo_type="dataset")
api.create_commit("acme/target", repo_type="dataset", commit_message="across", operations=[
    CommitOperationCopy("d/x.bin", "here/x.bin", src_repo_id="acme/new", src_repo_type="model"),
    CommitOperationCopy("a.txt", "here/a.txt", src_repo_id="acme/new", src_repo_type="model")])
answer["across"] = open(hf_hub_download("acme/target", "here/x.bin", repo_type="dataset"), "rb").read() == noise
""",
    )
    assert found == {
        "model by its old name": "acme/new",
        "model read as acme/old": True,
        "model read as acme/new": True,
        "model written by its old name": [".gitattributes", "a.txt", "b.txt", "d/x.bin"],
        "dataset by its old name": "acme/new",
        "dataset read as acme/old": True,
        "dataset read as acme/new": True,
        "dataset written by its old name": [".gitattributes", "a.txt", "b.txt", "d/x.bin"],
        "move what is not there": "RepositoryNotFoundError",
        "move onto another": "HfHubHTTPError",
        "settings": [True, False, False, True],
        "gated": "BadRequestError",
        "settings of what is not there": "RepositoryNotFoundError",
        "copy": ["acme/copy", False, True],
        "same commits": True,
        "branches": ["main", "work"],
        "copy has it": True,
        "public copy": ["acme/copy2", False],
        "copy again": "HfHubHTTPError",
        "copy again if need be": "acme/copy",
        "own name": "HfHubHTTPError",
        "copy what is not there": "RepositoryNotFoundError",
        "across": True,
    }


def test_real_clients_of_another_user_read_what_they_upload(endpoint: LocalEndpoint, client: RawClient) -> None:
    """Also what was deduplicated against content that they may not see, without which it could not be put together."""
    # The client goes on while it asks for a chunk; on a busy machine it has sent most of them before the answer comes.
    assert any(_is_deduplicated(endpoint, client, seed) for seed in range(101, 111))


def _is_deduplicated(endpoint: LocalEndpoint, client: RawClient, seed: int) -> bool:
    """Have a guest upload and read what is in a repository that is closed to them; whether it was sent once more."""
    noise = random.Random(seed).randbytes(400_000)
    client.make_repo(f"acme/closed-{seed}", visibility="private")
    hidden = client.upload(f"acme/closed-{seed}", noise)
    assert client.commit(f"acme/closed-{seed}", hidden.line("x.bin")).status == 200
    xorbs = stored(endpoint)
    guest = cast(LocalEndpoint, SimpleNamespace(url=endpoint.url, token=endpoint.add_token("guest")))
    found = run_hf(
        guest,
        """
import random
noise = random.Random(given["seed"]).randbytes(400_000)
mine = f"guest/mine-{given['seed']}"
api.create_repo(mine, private=True)
answer = []
for number, content in enumerate([noise, noise + b"and more" * 50_000]):
    api.upload_file(path_or_fileobj=content, path_in_repo=f"{number}.bin", repo_id=mine)
    answer.append(open(hf_hub_download(mine, f"{number}.bin"), "rb").read() == content)
answer.append(api.file_exists(f"acme/closed-{given['seed']}", "x.bin"))
""",
        seed=seed,
    )
    assert found == [True, True, False]
    new = sum(path.stat().st_size for path in stored(endpoint) - xorbs)
    return new < len(noise) // 2


# -- by hand -----------------------------------------------------------------------------------------------------------


def test_what_a_move_needs(endpoint: LocalEndpoint, client: RawClient) -> None:
    client.make_repo("acme/m1")
    client.make_repo("acme/m2")
    guest = RawClient(endpoint, endpoint.add_token("guest"))
    guest.make_repo("guest/m1")
    reader = RawClient(endpoint, endpoint.add_token("acme", "read"))
    anonymous = RawClient(endpoint)
    assert [move(who, "acme/m1", "acme/m3") for who in (guest, reader, anonymous)] == [403, 403, 401]
    assert [move(guest, old, new) for old, new in (("guest/m1", "acme/m3"), ("acme/m1", "guest/m3"))] == [403, 403]
    assert move(client, "acme/m1", "acme/m2") == 409
    assert move(client, "acme/nosuch", "acme/m3") == 404
    assert move(client, "acme/m1", "acme/m3", kind="dataset") == 404
    for bad in ("acme", "acme/", "acme/a b", "acme/../x", "acme/x/y", "/x", "acme/.git", ""):
        assert move(client, "acme/m1", bad) == 400, bad
        assert duplicate(client, "acme/m1", bad) == 400, bad
    assert move(client, "acme/m1", "acme/m3", kind="table") == 400
    for body in (b"", b"{}", b"[]", b'{"fromRepo":1,"toRepo":"acme/x"}'):
        assert client.post("/api/repos/move", body).status == 400
        assert client.post("/api/models/acme/m1/duplicate", body).status == 400
        assert client.post("/api/models/acme/m1/lfs-files/duplicate", body).status == 400
    for body in (
        b"[]",
        b'{"visibility":"hidden"}',
        b'{"private":"yes"}',
        b'{"gated":"auto"}',
        b'{"visibility":"protected"}',
    ):
        assert client.call("PUT", "/api/models/acme/m1/settings", body).status == 400
    assert client.call("PUT", "/api/models/acme/m1/settings", {"private": True}).status == 200
    assert client.get("/api/models/acme/m1").json["private"] is True
    assert [
        who.call("PUT", "/api/models/acme/m1/settings", {"private": False}).status for who in (guest, reader, anonymous)
    ] == [404, 403, 404]
    assert [duplicate(who, "acme/m1", f"{name}/m9") for who, name in ((guest, "guest"), (reader, "acme"))] == [404, 403]
    assert [duplicate(who, "acme/m2", f"{name}/m9") for who, name in ((guest, "acme"), (anonymous, "x"))] == [403, 401]
    # To another owner, by whoever runs the endpoint.
    assert move(client, "guest/m1", "acme/m4") == 200
    assert guest.get("/api/models/guest/m1").headers["location"] == "/api/models/acme/m4"


def test_a_copy_is_one_for_git_and_shares_what_git_keeps(endpoint: LocalEndpoint, client: RawClient) -> None:
    client.make_repo("acme/g1")
    content = client.upload("acme/g1", NOISE)
    assert client.commit("acme/g1", content.line("x.bin")).status == 200
    client.write("acme/g1", {f"{number}.txt": str(number) for number in range(60)})
    assert client.post("/api/models/acme/g1/branch/work%2Fone", {}).status == 200
    assert client.post("/api/models/acme/g1/tag/main", {"tag": "v1", "message": "first"}).status == 200
    (bare(endpoint, "acme/g1") / "hooks").mkdir(exist_ok=True)
    (bare(endpoint, "acme/g1") / "hooks" / "post-update").write_text("#!/bin/sh\n")
    subprocess.run(["git", "pack-refs", "--all"], cwd=bare(endpoint, "acme/g1"), check=True)
    client.write("acme/g1", {"later.txt": "x"})
    before = stored(endpoint)
    assert duplicate(client, "acme/g1", "acme/g2") == 200
    assert stored(endpoint) == before
    one, two = bare(endpoint, "acme/g1"), bare(endpoint, "acme/g2")
    for command in (["show-ref"], ["rev-list", "--all", "--objects"], ["symbolic-ref", "HEAD"]):
        outputs = [
            subprocess.run(["git", *command], cwd=path, capture_output=True, check=True).stdout for path in (one, two)
        ]
        assert outputs[0] == outputs[1]
    subprocess.run(["git", "fsck", "--strict", "--full"], cwd=two, check=True, capture_output=True)
    assert not (two / "hooks" / "post-update").exists()
    packs = [{path.name: path.stat().st_ino for path in (path / "objects" / "pack").iterdir()} for path in (one, two)]
    assert packs[0]
    assert packs[0] == packs[1]
    # What is done to one is not done to the other.
    subprocess.run(["git", "gc", "-q", "--prune=now"], cwd=one, check=True)
    client.write("acme/g2", {"only.txt": "here"})
    subprocess.run(["git", "fsck", "--strict", "--full"], cwd=two, check=True, capture_output=True)
    assert client.get("/acme/g1/resolve/main/only.txt").status == 404


def test_content_that_others_shall_hold(endpoint: LocalEndpoint, client: RawClient) -> None:
    for name in ("acme/f1", "acme/f2"):
        client.make_repo(name)
    guest = RawClient(endpoint, endpoint.add_token("guest"))
    guest.make_repo("guest/f1")
    mine = client.upload("acme/f1", NOISE[:50_000])
    other = client.upload("acme/f2", NOISE[:60_000])

    def ask(who: RawClient, target: str, *files: dict[str, str], source: str = "acme/f1") -> list[str] | int:
        answer = who.post(
            f"/api/models/{source}/lfs-files/duplicate",
            {"target": {"type": "model", "name": target}, "files": list(files)},
        )
        return [item["sha256"] for item in answer.json["failed"]] if answer.status == 200 else answer.status

    one = {"xetHash": mine.name, "sha256": mine.sha256, "filename": "x"}
    two = {"xetHash": other.name, "sha256": other.sha256, "filename": "y"}
    assert ask(guest, "guest/f1", one, two) == [other.sha256]
    assert guest.commit("guest/f1", mine.line("x.bin")).status == 200
    assert ask(guest, "guest/f1", one | {"xetHash": other.name}, {**two, "sha256": "ab" * 32}) == [
        mine.sha256,
        "ab" * 32,
    ]
    assert ask(guest, "acme/f2", one) == 403
    assert ask(guest, "guest/nosuch", one) == 404
    assert ask(guest, "guest/a b", one) == 400
    assert ask(RawClient(endpoint), "guest/f1", one) == 401
    client.call("PUT", "/api/models/acme/f1/settings", {"visibility": "private"})
    assert ask(guest, "guest/f1", one) == 404
    # What it holds by now it keeps.
    assert guest.commit("guest/f1", mine.line("again.bin")).status == 200
    assert guest.get("/guest/f1/resolve/main/again.bin").body == NOISE[:50_000]


def test_what_is_held_goes_with_the_name(endpoint: LocalEndpoint, client: RawClient) -> None:
    """Content that was uploaded for a repository may be committed to it after a rename, also by its old name."""
    guest = RawClient(endpoint, endpoint.add_token("guest"))
    guest.make_repo("guest/h1")
    before = guest.upload("guest/h1", NOISE[:41_000])
    cas = guest.cas("guest/h1")
    assert move(guest, "guest/h1", "guest/h2") == 200
    assert guest.commit("guest/h2", before.line("x.bin")).status == 200
    during = guest.upload("guest/h2", NOISE[:42_000])
    late = type(before).of(NOISE[:43_000])
    assert cas.post(f"/v1/xorbs/default/{late.xorb_name}", late.xorb_bytes).status == 200
    assert cas.post("/v1/shards", late.shard()).status == 200
    for content in (during, late):
        assert guest.commit("guest/h2", content.line("y.bin")).status == 200
    # A new repository of the old name holds nothing of that.
    outsider = RawClient(endpoint, endpoint.add_token("outsider"))
    outsider.make_repo("outsider/h")
    guest.call("PUT", "/api/models/guest/h2/settings", {"private": True})
    guest.make_repo("guest/h1")
    assert outsider.commit("outsider/h", before.line("x.bin")).status == 400
    assert outsider.commit("outsider/h", during.line("x.bin")).status == 400


# -- crashes -----------------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """Stands for the end of the process."""


OLD, NEW = RepoId("models", "acme", "old"), RepoId("models", "acme", "new")


@pytest.mark.parametrize("action", ["rename", "duplicate", "create", "delete"])
def test_a_kill_at_any_step_leaves_the_old_or_the_new_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    """The process ends before its first, second, … step on disk, until one run needs no more of them."""
    outcomes = set()
    for step in range(1, 200):
        root = tmp_path / str(step)
        store = GitStore(root)
        store.create(OLD, user="acme", private=False)
        head = str(store.open(OLD).resolve("main").id)
        left = step
        with monkeypatch.context() as patched:

            def counted(real: Callable[..., object]) -> Callable[..., object]:
                def call(*arguments: object, **named: object) -> object:
                    nonlocal left
                    left -= 1
                    if left <= 0:
                        raise Killed
                    return real(*arguments, **named)

                return call

            for owner, name in (
                (Path, "rename"),
                (Path, "unlink"),
                (os, "fsync"),
                (os, "link"),
                (Path, "mkdir"),
                (shutil, "rmtree"),
            ):
                patched.setattr(owner, name, counted(getattr(owner, name)))
            try:
                match action:
                    case "rename":
                        store.rename(OLD, NEW)
                    case "duplicate":
                        store.duplicate(OLD, NEW, private=None)
                    case "create":
                        store.create(NEW, user="acme", private=False)
                    case "delete":
                        store.delete(OLD)
            except Killed:
                pass
            done = left > 0
        after = GitStore(root)
        there = {repo.name for repo in after.repos("models")}
        outcomes.add(frozenset(there))
        for repo in after.repos("models"):
            found = after.open(repo)
            assert action == "create" or str(found.resolve("main").id) == head
        if action == "rename":
            # By its old name it is found in any case.
            assert str(after.open(after.current(OLD)).resolve("main").id) == head
        left_over = [path.name for path in (root / "models" / "acme").iterdir() if path.name.startswith(".")]
        assert left_over == ([".old.git.moved"] if action == "rename" and there == {"new"} else [])
        if done:
            break
    else:
        raise AssertionError("it never came to its end")
    expected = {
        "rename": ({"old"}, {"new"}), "duplicate": ({"old"}, {"old", "new"}), "create": ({"old"}, {"old", "new"}),
        "delete": ({"old"}, set()),
    }[action]  # fmt: skip
    assert outcomes == {frozenset(names) for names in expected}


class RenamedMeanwhile(GitStore):
    """A store whose repository gets its first name back at the moment in which its present one is looked at."""

    moves: ClassVar[list[tuple[RepoId, RepoId]]] = []

    def has(self, repo: RepoId) -> bool:
        if self.moves and repo == self.moves[0][0]:
            self.rename(*self.moves.pop())
        return super().has(repo)


def test_a_repository_renamed_while_its_name_is_followed_is_found(tmp_path: Path) -> None:
    names = [RepoId("models", "acme", name) for name in ("one", "two", "three")]
    store = RenamedMeanwhile(tmp_path / "repos")
    store.create(names[0], user="acme", private=False)
    for old, new in itertools.pairwise(names):
        store.rename(old, new)
    store.moves.append((names[2], names[0]))
    assert store.open_current(names[0]).id == names[0]
    assert store.moves == []
    # Between the two: it is found, and then not opened by the name that it had.
    opened = store.open

    def late(repo: RepoId) -> Repository:
        store.open = opened  # type: ignore[method-assign]  # once
        store.rename(names[0], names[1])
        return opened(repo)

    store.open = late  # type: ignore[method-assign]  # as above
    assert store.open_current(names[0]).id == names[1]


def test_commits_and_a_duplicate_at_once(endpoint: LocalEndpoint, client: RawClient) -> None:
    client.make_repo("acme/busy")
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            client.write("acme/busy", {f"{number}.txt": str(number)})
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(8):
            assert duplicate(client, "acme/busy", f"acme/busy-{number}") == 200
    finally:
        stop.set()
        writer.join()
    for number in range(8):
        subprocess.run(
            ["git", "fsck", "--full"], cwd=bare(endpoint, f"acme/busy-{number}"), check=True, capture_output=True
        )
