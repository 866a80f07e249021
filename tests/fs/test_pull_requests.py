"""Pull requests through file systems: opening them in every way there is, reading, writing, and what becomes of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.contents import content
from support.raw_client import RawClient

import pyxet
from pyxet.errors import (
    AccessDeniedError,
    BadRequestError,
    ConflictError,
    EditConflictError,
    NotSupportedError,
    RevisionNotFoundError,
    TransactionError,
    XetURLError,
)
from pyxet.testing import LocalEndpoint


@pytest.fixture
def guest(shared_endpoint: LocalEndpoint) -> pyxet.XetFS:
    """Somebody who may not write to the repositories of the tests."""
    return pyxet.XetFS(shared_endpoint.url, "guest", shared_endpoint.add_token("guest"))


@pytest.fixture
def main(xet: pyxet.XetFS, repo: str) -> str:
    xet.pipe({f"{repo}/main/a.txt": b"one\n", f"{repo}/main/d/b.txt": b"b", f"{repo}/main/big.bin": made_of(50_000)})
    return f"{repo}/main"


def made_of(size: int) -> bytes:
    return content(size, size)


def proposal(repo: str, number: int) -> str:
    return f"{repo}/pr%2F{number}"


# -- opening them ------------------------------------------------------------------------------------------------------


def test_a_transaction_is_one_pull_request(xet: pyxet.XetFS, guest: pyxet.XetFS, repo: str, main: str) -> None:
    before = xet.branch_info(main)["commit"]
    with guest.transaction(message="Better", description="Because.\n\nReally.", pull_request=True) as tr:
        guest.pipe(f"{main}/a.txt", b"two\n")
        guest.pipe(f"{main}/new.bin", made_of(3_000_000))
        guest.rm(f"{main}/d", recursive=True)
        guest.cp(f"{main}/big.bin", f"{main}/copy.bin")
        assert not tr.pull_requests
        assert guest.cat(f"{main}/a.txt") == b"two\n"
        assert not guest.exists(f"{main}/d/b.txt")
    [made] = tr.pull_requests
    [commit] = tr.commits
    assert (made.number, made.repo, made.title, made.status, made.author) == (1, repo, "Better", "open", "guest")
    assert made.url == f"{xet.endpoint}/{repo}/discussions/1"
    assert commit.pull_request == made
    assert commit.message == "Better\n\nBecause.\n\nReally."
    # The branch is as it was, for those who proposed, too.
    for fs in (xet, guest):
        assert fs.branch_info(main)["commit"] == before
        assert fs.cat(f"{main}/a.txt") == b"one\n"
        assert fs.log(main, limit=1)[0].id == before
        assert fs.log(made.path, limit=1)[0].id == commit.id
        assert fs.cat(f"{proposal(repo, 1)}/a.txt") == b"two\n"
        assert fs.cat(f"{made.path}/new.bin") == made_of(3_000_000)
        names = fs.find(proposal(repo, 1))
        assert [name.rpartition("/")[2] for name in names] == ["a.txt", "big.bin", "copy.bin", "new.bin"]
    info = xet.pull_request_info(repo, 1)
    assert (info.branch, info.conflicts, info.merge_commit, info.diff) == ("main", (), None, None)
    assert [comment.text for comment in info.comments] == ["Because.\n\nReally."]


WAYS: dict[str, Callable[[pyxet.XetFS, str, Path], Any]] = {
    "pipe": lambda fs, main, _: fs.pipe(f"{main}/new.txt", b"new", pull_request=True),
    "pipe many": lambda fs, main, _: fs.pipe({f"{main}/new.txt": b"new", f"{main}/n.bin": b"\0" * 9}, pull_request=True),
    "pipe_file": lambda fs, main, _: fs.pipe_file(f"{main}/new.txt", b"new", pull_request=True),
    "put": lambda fs, main, local: fs.put(str(local), f"{main}/new.txt", pull_request=True),
    "put_file": lambda fs, main, local: fs.put_file(str(local), f"{main}/new.txt", pull_request=True),
    "cp": lambda fs, main, _: fs.cp(f"{main}/big.bin", f"{main}/new.txt", pull_request=True),
    "cp_file": lambda fs, main, _: fs.cp_file(f"{main}/big.bin", f"{main}/new.txt", pull_request=True),
    "mv": lambda fs, main, _: fs.mv(f"{main}/big.bin", f"{main}/new.txt", pull_request=True),
    "mv_file": lambda fs, main, _: fs.mv_file(f"{main}/big.bin", f"{main}/new.txt", pull_request=True),
    "touch": lambda fs, main, _: fs.touch(f"{main}/new.txt", pull_request=True),
    "commit": lambda fs, main, _: fs.commit(
        main, [fs.stage(b"new", f"{main}/new.txt", pull_request=True)], pull_request=True
    ),
    "commit many": lambda fs, main, _: fs.commit(
        main, fs.stage_many({f"{main}/new.txt": made_of(20_000)}, pull_request=True), pull_request=True
    ),
    "transaction": lambda fs, main, _: _in_transaction(fs, main),
}  # fmt: skip


def _in_transaction(fs: pyxet.XetFS, main: str) -> None:
    fs.start_transaction(message="new", pull_request=True)
    with fs.open(f"{main}/new.txt", "w") as file:
        file.write("new")
    fs.end_transaction()


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_write_proposes(
    xet: pyxet.XetFS, guest: pyxet.XetFS, repo: str, main: str, tmp_path: Path, way: str
) -> None:
    local = tmp_path / "local.txt"
    local.write_bytes(b"new")
    before = xet.branch_info(main)["commit"]
    WAYS[way](guest, main, local)
    [made] = guest.list_pull_requests(repo)
    assert guest.exists(f"{made.path}/new.txt")
    assert xet.branch_info(main)["commit"] == before


@pytest.mark.parametrize("call", ["rm", "rm_file"])
def test_deletions_are_proposed(xet: pyxet.XetFS, guest: pyxet.XetFS, repo: str, main: str, call: str) -> None:
    getattr(guest, call)(f"{main}/a.txt", pull_request=True)
    assert xet.exists(f"{main}/a.txt")
    assert not xet.exists(f"{proposal(repo, 1)}/a.txt")


async def test_asynchronously(shared_endpoint: LocalEndpoint, repo: str, main: str) -> None:
    token = shared_endpoint.add_token("guest")
    async with pyxet.AsyncXetFileSystem(shared_endpoint.url, "guest", token, asynchronous=True) as fs:
        async with fs.transaction(message="Async", pull_request=True) as tr:
            await asyncio.gather(*(fs._pipe_file(f"{main}/{number}.bin", made_of(9_000)) for number in range(8)))
        assert [made.number for made in tr.pull_requests] == [1]
        await fs._comment(repo, 1, "Well")
        await fs._close_pull_request(repo, 1)
        assert await fs._list_pull_requests(repo) == []
        assert (await fs._pull_request_info(repo, 1)).status == "closed"


def test_a_pull_request_for_each_branch(xet: pyxet.XetFS, guest: pyxet.XetFS, repo: str, main: str) -> None:
    xet.make_branch(repo, "main", "work")
    with guest.transaction(message="Both", pull_request=True) as tr:
        guest.pipe({f"{repo}/work/x.txt": b"x", f"{main}/x.txt": b"x"})
    assert [xet.pull_request_info(repo, made.number).branch for made in tr.pull_requests] == ["work", "main"]
    xet.merge_pull_request(repo, 1)
    assert xet.exists(f"{repo}/work/x.txt")
    assert not xet.exists(f"{main}/x.txt")


def test_what_changes_nothing_opens_nothing(guest: pyxet.XetFS, repo: str, main: str) -> None:
    with guest.transaction(pull_request=True) as tr:
        guest.pipe(f"{main}/a.txt", b"one\n")
    assert (tr.pull_requests, tr.commits) == ((), ())
    with pytest.raises(RuntimeError), guest.transaction(pull_request=True):  # noqa: PT012
        guest.pipe(f"{main}/a.txt", b"two\n")
        raise RuntimeError
    assert guest.list_pull_requests(repo, "all") == []


def test_conditions_hold_for_what_is_proposed(xet: pyxet.XetFS, guest: pyxet.XetFS, repo: str, main: str) -> None:
    blob, head = xet.info(f"{main}/a.txt")["blob_id"], xet.branch_info(main)["commit"]
    with pytest.raises(EditConflictError), guest.transaction(parent_commit=head, pull_request=True):  # noqa: PT012
        guest.pipe(f"{main}/a.txt", b"theirs")
        xet.pipe(f"{main}/a.txt", b"ours")
    with pytest.raises(EditConflictError):
        guest.pipe(f"{main}/a.txt", b"theirs", if_match=blob, pull_request=True)
    with pytest.raises(FileExistsError):
        guest.pipe(f"{main}/a.txt", b"theirs", mode="create", pull_request=True)
    assert guest.list_pull_requests(repo, "all") == []


def test_what_a_call_in_a_transaction_may_ask_for(xet: pyxet.XetFS, repo: str, main: str) -> None:
    with xet.transaction(message="In it", pull_request=True) as tr:
        xet.pipe(f"{main}/x", b"x", pull_request=True)
        xet.pipe(f"{main}/y", b"y")
    assert len(tr.pull_requests) == 1
    with pytest.raises(TransactionError, match="pull_request=True"), xet.transaction:
        xet.pipe(f"{main}/x", b"x", pull_request=True)
    # Those of a pull request are commits to it, and never one more.
    with pytest.raises(NotSupportedError, match="without pull_request"):
        xet.pipe(f"{proposal(repo, 1)}/x", b"x", pull_request=True)


# -- going on with them ------------------------------------------------------------------------------------------------


def test_a_pull_request_is_written_to_like_a_branch(
    shared_endpoint: LocalEndpoint, xet: pyxet.XetFS, guest: pyxet.XetFS, repo: str, main: str
) -> None:
    guest.pipe(f"{main}/new.txt", b"1", pull_request=True)
    short, full = proposal(repo, 1), f"{repo}/refs%2Fpr%2F1"
    guest.pipe(f"{short}/more.bin", made_of(2_000_000))
    xet.pipe(f"{full}/owner.txt", b"by the owner")
    with guest.open(f"{short}/text.txt", "w") as file:
        file.write("text")
    with guest.open(f"{short}/text.txt", "a") as file:
        file.write(", more text")
    pointer = guest.stage(made_of(30_000), f"{short}/staged.bin")
    assert guest.commit(full, [pointer], delete=[f"{full}/a.txt"]) is not None
    guest.mv(f"{full}/new.txt", f"{full}/d/new.txt")
    assert [name.removeprefix(f"{short}/") for name in guest.find(short)] == [
        "big.bin", "d/b.txt", "d/new.txt", "more.bin", "owner.txt", "staged.bin", "text.txt",
    ]  # fmt: skip
    assert xet.cat(f"{short}/text.txt") == b"text, more text"
    # By both names it is one place, and in a transaction one commit.
    with guest.transaction as tr:
        guest.pipe(f"{short}/x", b"x")
        assert guest.cat(f"{full}/x") == b"x"
        guest.pipe(f"{full}/y", b"y")
        assert guest.cat(f"{short}/y") == b"y"
        assert guest.ls(short, detail=False) != guest.ls(main, detail=False)
    assert len(tr.commits) == 1
    assert xet.cat([f"{short}/x", f"{full}/y"]) == {f"{short}/x": b"x", f"{full}/y": b"y"}
    third = pyxet.XetFS(shared_endpoint.url, "third", shared_endpoint.add_token("third"))
    with pytest.raises(AccessDeniedError):
        third.pipe(f"{short}/x", made_of(20_000))
    assert third.cat(f"{short}/x") == b"x"
    assert len(xet.list_pull_requests(repo)) == 1


def test_their_names_are_those_of_branches_where_there_are_such(xet: pyxet.XetFS, repo: str, main: str) -> None:
    xet.pipe(f"{main}/x", b"proposed", pull_request=True)
    fresh = pyxet.XetFS(xet.endpoint, xet.credential.user, xet.credential.token)
    fresh.make_branch(repo, "main", "pr/1")
    fresh.pipe(f"{repo}/pr%2F1/x", b"on the branch")
    assert fresh.cat(f"{repo}/pr%2F1/x") == b"on the branch"
    assert fresh.cat(f"{repo}/refs%2Fpr%2F1/x") == b"proposed"
    assert fresh.find_ref(repo, "pr/1")["ref"] == "refs/heads/pr/1"
    assert fresh.find_ref(repo, "refs/pr/1")["ref"] == "refs/pr/1"
    with fresh.transaction as tr:
        fresh.pipe(f"{repo}/pr%2F1/x", b"branch")
        fresh.pipe(f"{repo}/refs%2Fpr%2F1/x", b"pull request")
        assert fresh.cat(f"{repo}/pr%2F1/x") == b"branch"
    assert len(tr.commits) == 2


def test_what_is_not_there(shared_endpoint: LocalEndpoint, xet: pyxet.XetFS, repo: str, main: str) -> None:
    # A discussion is no pull request, though it has a number like one.
    client = RawClient(shared_endpoint, shared_endpoint.token)
    assert client.post(f"/api/models/{repo}/discussions", {"title": "Talk"}).json["num"] == 1
    for number in (1, 7):
        for call in (
            lambda at: xet.pipe(f"{at}/x", b""), lambda at: xet.cat(f"{at}/a.txt"), lambda at: xet.ls(at),
            lambda at: xet.log(at), lambda at: xet.mkdir(f"{at}/d"), lambda at: xet.pull_request_info(at),
            lambda at: xet.merge_pull_request(at), lambda at: xet.close_pull_request(at),
        ):  # fmt: skip
            with pytest.raises(RevisionNotFoundError):
                call(proposal(repo, number))
        assert not xet.exists(proposal(repo, number))
    with pytest.raises(RevisionNotFoundError, match="list_pull_requests"):
        xet.comment(repo, 7, "x")
    wrong: list[tuple[str, int | None]] = [
        (repo, None), (main, None), (f"{main}/a.txt", None), (repo, 0), (repo, True), (main, 1),
    ]  # fmt: skip
    for path, given in wrong:
        with pytest.raises(XetURLError):
            xet.pull_request_info(path, given)
    with pytest.raises(ValueError, match="status"):
        xet.list_pull_requests(repo, "draft")  # type: ignore[arg-type]


# -- what becomes of them ----------------------------------------------------------------------------------------------


def test_merging_talking_and_closing(xet: pyxet.XetFS, guest: pyxet.XetFS, repo: str, main: str) -> None:
    for number in range(3):
        guest.pipe(f"{main}/{number}.txt", b"x", message=f"Add {number}", pull_request=True)
    assert xet.cat(f"{main}/a.txt") == b"one\n"
    with pytest.raises(AccessDeniedError):
        guest.merge_pull_request(repo, 1)
    xet.comment(repo, 1, "Well done")
    merged = xet.merge_pull_request(proposal(repo, 1), comment="Thanks")
    assert (merged.status, merged.merge_commit) == ("merged", xet.branch_info(main)["commit"])
    assert [(comment.author, comment.text) for comment in merged.comments][1:] == [
        ("acme", "Well done"),
        ("acme", "Thanks"),
    ]
    # At once, whatever was known of the branch.
    assert xet.exists(f"{main}/0.txt")
    assert xet.log(main, limit=1)[0].title == "Add 0 (#1)"
    guest.close_pull_request(repo, 2, comment="Never mind")
    assert [made.number for made in xet.list_pull_requests(repo)] == [3]
    assert [made.number for made in xet.list_pull_requests(repo, "closed")] == [2, 1]
    assert [made.number for made in xet.list_pull_requests(repo, "all", limit=2)] == [3, 2]
    assert xet.list_pull_requests(repo, "all", author="acme") == []
    assert xet.list_pull_requests(repo, limit=0) == []
    with pytest.raises(BadRequestError, match="closed"):
        guest.pipe(f"{proposal(repo, 2)}/x", b"x")
    guest.open_pull_request(repo, 2)
    guest.pipe(f"{proposal(repo, 2)}/x", b"x")
    assert xet.merge_pull_request(repo, 2).status == "merged"
    for call in (xet.merge_pull_request, xet.close_pull_request, xet.open_pull_request):
        with pytest.raises(BadRequestError, match="merged"):
            call(repo, 2)


def test_conflicts_are_told_by_name(xet: pyxet.XetFS, guest: pyxet.XetFS, repo: str, main: str) -> None:
    guest.pipe({f"{main}/a.txt": b"theirs", f"{main}/big.bin": made_of(9_000)}, pull_request=True)
    xet.pipe({f"{main}/a.txt": b"ours", f"{main}/big.bin": made_of(8_000)})
    info = xet.pull_request_info(repo, 1, diff=True)
    assert info.conflicts == ("a.txt", "big.bin")
    assert info.diff is not None
    assert "+theirs" in info.diff
    with pytest.raises(ConflictError, match=r"a\.txt, big\.bin") as caught:
        xet.merge_pull_request(repo, 1)
    assert proposal(repo, 1) in str(caught.value)
    guest.pipe({f"{proposal(repo, 1)}/a.txt": b"ours", f"{proposal(repo, 1)}/big.bin": made_of(8_000)})
    assert xet.merge_pull_request(repo, 1).status == "merged"
