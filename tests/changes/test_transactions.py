"""Transactions: one commit for each branch, or none; where one may write, and how much it holds."""

# ruff: noqa: PT012  # what has to raise is the end of a block

from __future__ import annotations

import asyncio
import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from support.contents import BINARY
from support.faults import SHARD, UPLOAD, answer, gated
from support.history import messages
from support.proxied import proxied

import pyxet
from pyxet.errors import (
    AlreadyExistsError,
    EditConflictError,
    NotSupportedError,
    PartialCommitError,
    RevisionNotFoundError,
    TransactionError,
)
from pyxet.testing import LocalEndpoint

pytestmark = pytest.mark.usefixtures("nothing_left_behind")

MIB = 1024 * 1024


# -- one commit or none ------------------------------------------------------------------------------------------------


def test_many_files_are_one_commit(xet: pyxet.XetFS, main: str, tmp_path: Path) -> None:
    (tmp_path / "local.txt").write_text("local")
    xet.pipe({f"{main}/old.txt": b"old", f"{main}/moved.txt": b"moved"})
    with xet.transaction as tr:
        tr.set_commit_message("experiment 1\n\nwith a description")
        xet.pipe(f"{main}/a.txt", b"a")
        xet.put(str(tmp_path / "local.txt"), f"{main}/local.txt")
        with xet.open(f"{main}/large.bin", "wb") as file:
            file.write(BINARY * 300_000)
        xet.rm(f"{main}/old.txt")
        xet.cp(f"{main}/moved.txt", f"{main}/copy.txt")
        xet.mv(f"{main}/moved.txt", f"{main}/new.txt")
        assert not tr.commits
    assert [commit.message for commit in tr.commits] == ["experiment 1\n\nwith a description"]
    assert tr.commits[0].id == xet.branch_info(main.removesuffix("/main"), "main")["commit"]
    assert len(messages(xet, main)) == 2
    assert {name.removeprefix(f"{main}/"): len(data) for name, data in xet.cat(main, recursive=True).items()} == {
        "a.txt": 1, "copy.txt": 5, "large.bin": len(BINARY) * 300_000, "local.txt": 5, "new.txt": 5,
    }  # fmt: skip


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_exception_leaves_nothing(xet: pyxet.XetFS, main: str, error: type[BaseException]) -> None:
    xet.pipe(f"{main}/old.txt", b"old")
    # A generator that is closed early tells nobody else, so that is warned of.
    told = pytest.warns(pyxet.errors.PyxetWarning) if error is GeneratorExit else nullcontext()
    with told, pytest.raises(error), xet.transaction as tr:
        xet.pipe(f"{main}/a.txt", b"a")
        xet.rm(f"{main}/old.txt")
        left_open = xet.open(f"{main}/b.txt", "w")
        left_open.write("half")
        large = xet.open(f"{main}/large.bin", "wb")
        large.write(BINARY * 500_000)
        raise error
    assert tr.commits == ()
    assert left_open.closed
    assert large.closed
    assert xet.find(main) == [f"{main}/old.txt"]
    assert len(messages(xet, main)) == 1


def test_nothing_changed_is_no_commit(xet: pyxet.XetFS, main: str) -> None:
    xet.pipe({f"{main}/a.txt": b"a", f"{main}/b.bin": BINARY})
    with xet.transaction as tr:
        pass
    assert tr.commits == ()
    with xet.transaction as tr:
        xet.pipe({f"{main}/a.txt": b"a", f"{main}/b.bin": BINARY})
        xet.pipe(f"{main}/c.txt", b"c")
        xet.rm(f"{main}/c.txt")
    assert tr.commits == ()
    assert len(messages(xet, main)) == 1


def test_content_goes_up_while_it_is_written(main: str, shared_endpoint: LocalEndpoint) -> None:
    with proxied(shared_endpoint, limits=pyxet.Limits(memory=16 * MIB)) as (proxy, fs):
        proxy.rule(UPLOAD, gated())
        proxy.open_gate()
        with fs.transaction, fs.open(f"{main}/large.bin", "wb") as file:
            for _ in range(12):
                file.write(os.urandom(MIB))
            asyncio.run(proxy.arrival())
            assert proxy.count(SHARD) == proxy.count("POST .*/commit/") == 0
        assert proxy.count("POST .*/commit/main") == 1


def test_without_a_block(xet: pyxet.XetFS, main: str) -> None:
    tr = xet.start_transaction(message="by hand")
    assert xet.transaction == tr
    xet.pipe(f"{main}/a.txt", b"a")
    xet.end_transaction()
    assert messages(xet, main) == ["by hand"]
    xet.start_transaction()
    xet.pipe(f"{main}/b.txt", b"b")
    xet.cancel_transaction()
    assert xet.find(main) == [f"{main}/a.txt"]
    for end in (xet.end_transaction, xet.cancel_transaction):
        with pytest.raises(TransactionError, match="no transaction is open"):
            end()


def test_a_transaction_that_is_cancelled_in_its_block_ends_there(xet: pyxet.XetFS, main: str) -> None:
    with xet.transaction as tr:
        xet.pipe(f"{main}/dropped.txt", b"dropped")
        xet.cancel_transaction()
        xet.pipe(f"{main}/kept.txt", b"kept")
    assert tr.commits == ()
    assert xet.ls(main, detail=False) == [f"{main}/kept.txt"]


def test_very_many_small_files(xet: pyxet.XetFS, main: str) -> None:
    names = [f"{main}/{number % 40}/{number}.txt" for number in range(800)]
    with xet.transaction as tr:
        for name in names:
            xet.pipe(name, name.encode())
        assert len(xet.find(main)) == 800
        assert len(list(xet.walk(main))) == 41
        xet.rm([name for name in names if name.endswith("7.txt")])
    assert len(tr.commits) == 1
    assert len(xet.find(main)) == 720
    assert xet.cat(names[799]) == names[799].encode()


# -- several branches --------------------------------------------------------------------------------------------------


def test_several_branches_are_a_commit_each(xet: pyxet.XetFS, repo: str) -> None:
    xet.make_branch(repo, "main", "second")
    with xet.transaction(message="both") as tr:
        xet.pipe(f"{repo}/main/a.txt", b"a")
        xet.pipe(f"{repo}/second/b.txt", b"b")
        xet.cp(f"{repo}/main/a.txt", f"{repo}/second/c.txt")
    assert len(tr.commits) == 2
    assert messages(xet, f"{repo}/main") == messages(xet, f"{repo}/second") == ["both"]
    assert xet.cat(f"{repo}/second/c.txt") == b"a"


def test_partial_commit_says_what_was_made(
    xet: pyxet.XetFS, other: pyxet.XetFS, repo: str, shared_endpoint: LocalEndpoint
) -> None:
    for name in ("second", "third"):
        xet.make_branch(repo, "main", name)
    with proxied(shared_endpoint) as (proxy, fs):
        proxy.rule("POST .*/commit/second", answer(403))
        with pytest.raises(PartialCommitError) as caught, fs.transaction as tr:
            for name in ("main", "second", "third"):
                fs.pipe(f"{repo}/{name}/a.txt", b"a")
    head = other.branch_info(repo, "main")["commit"]
    assert [(path, commit.id) for path, commit in caught.value.made] == [(f"{repo}/main", head)]
    assert caught.value.failed == f"{repo}/second"
    assert f"{repo}/main at {head[:10]}" in str(caught.value)
    assert isinstance(caught.value.__cause__, PermissionError)
    assert [commit.id for commit in tr.commits] == [head]
    assert other.find(f"{repo}/second") == other.find(f"{repo}/third") == []


def test_conflict_on_any_branch_is_found_before_the_first_commit(
    xet: pyxet.XetFS, other: pyxet.XetFS, repo: str
) -> None:
    xet.make_branch(repo, "main", "second")
    with pytest.raises(AlreadyExistsError), xet.transaction as tr:
        xet.pipe(f"{repo}/main/a.txt", b"a")
        xet.pipe_file(f"{repo}/second/b.txt", b"b", mode="create")
        other.pipe(f"{repo}/second/b.txt", b"first")
    assert tr.commits == ()
    assert other.find(f"{repo}/main") == []


# -- where one may write -----------------------------------------------------------------------------------------------


def test_missing_branch_is_found_at_once(xet: pyxet.XetFS, repo: str) -> None:
    with xet.transaction:
        for write in (
            lambda path: xet.open(path, "w"), lambda path: xet.pipe(path, b"x"), lambda path: xet.put(__file__, path),
        ):  # fmt: skip
            with pytest.raises(RevisionNotFoundError, match=rf"make_branch\('{repo}', 'main', 'nope'\)"):
                write(f"{repo}/nope/a.txt")


def test_only_branches_are_written_to(xet: pyxet.XetFS, repo: str) -> None:
    xet.pipe(f"{repo}/main/a.txt", b"a")
    xet.make_tag(repo, "v1")
    commit = xet.branch_info(repo, "main")["commit"]
    for revision in ("v1", commit, commit[:8], "main@{2026-11-01}"):
        for write in (
            lambda path: xet.open(path, "w"), lambda path: xet.pipe(path, b"x"), lambda path: xet.rm(path),
            lambda path: xet.mv(path, f"{repo}/main/b.txt"), lambda path: xet.cp(f"{repo}/main/a.txt", path),
        ):  # fmt: skip
            with pytest.raises((NotSupportedError, FileNotFoundError)) as caught:
                write(f"{repo}/{revision}/a.txt")
            if not revision.startswith("main@"):
                assert isinstance(caught.value, NotSupportedError)
    assert xet.find(f"{repo}/main") == [f"{repo}/main/a.txt"]


def test_parent_commit_of_a_transaction(xet: pyxet.XetFS, other: pyxet.XetFS, main: str) -> None:
    xet.pipe({f"{main}/a.txt": b"1", f"{main}/b.txt": b"1", f"{main}/c.txt": b"1"})
    parent = xet.info(main)["commit"]
    other.pipe(f"{main}/b.txt", b"theirs")
    with xet.transaction(parent_commit=parent) as tr:
        xet.pipe(f"{main}/a.txt", b"ours")
        xet.rm(f"{main}/c.txt")
    assert len(tr.commits) == 1
    touch: Any
    for touch in (lambda: xet.pipe(f"{main}/b.txt", b"ours"), lambda: xet.rm(f"{main}/b.txt")):
        with pytest.raises(EditConflictError, match=r"b\.txt"), xet.transaction(parent_commit=parent) as tr:
            xet.pipe(f"{main}/new.txt", b"new")
            touch()
        assert tr.commits == ()
    assert xet.cat(main, recursive=True) == {f"{main}/a.txt": b"ours", f"{main}/b.txt": b"theirs"}


def test_parent_commit_of_a_call_inside_guards_its_paths(xet: pyxet.XetFS, other: pyxet.XetFS, main: str) -> None:
    parent = xet.info(main)["commit"]
    with xet.transaction:
        xet.pipe(f"{main}/a", b"a", parent_commit=parent)
        xet.pipe(f"{main}/b", b"b")
        other.pipe(f"{main}/b", b"theirs")
    assert xet.cat(main, recursive=True) == {f"{main}/a": b"a", f"{main}/b": b"b"}
    write: Any
    for write in (
        lambda: xet.pipe(f"{main}/a", b"ours", parent_commit=parent),
        lambda: xet.open(f"{main}/a", "wb", parent_commit=parent).close(),
    ):
        with pytest.raises(EditConflictError, match=rf"changed since {parent[:10]}: a;"), xet.transaction:
            write()
    parent = other.info(main)["commit"]
    with xet.transaction(parent_commit=parent):
        xet.pipe(f"{main}/a", b"again", parent_commit=parent)
    assert xet.cat(f"{main}/a") == b"again"


# -- how much it holds -------------------------------------------------------------------------------------------------


def test_totals_while_it_is_open_and_after_its_end(xet: pyxet.XetFS, main: str, tmp_path: Path) -> None:
    content = os.urandom(3 * MIB)
    (tmp_path / "x").write_bytes(content)
    xet.pipe({f"{main}/old": b"old", f"{main}/same.txt": b"same"})
    with xet.transaction as tr:
        assert tr.totals.written == tr.totals.deleted == tr.totals.content == 0
        xet.put_file(tmp_path / "x", f"{main}/x")
        xet.put_file(tmp_path / "x", f"{main}/y")
        xet.pipe_file(f"{main}/same.txt", b"same")
        xet.rm(f"{main}/old")
        assert (tr.totals.written, tr.totals.deleted) == (3, 1)
        assert tr.totals.content == 2 * len(content)
    # The unchanged one is left out of the commit; the second copy is no news.
    assert (tr.totals.written, tr.totals.deleted) == (2, 1)
    assert tr.totals.deduplicated == len(content)
    assert len(content) <= tr.totals.sent < len(content) * 1.01
    with xet.transaction as again:
        xet.put_file(tmp_path / "x", f"{main}/z")
    assert again.totals.deduplicated > 0.9 * again.totals.content
    assert again.totals.written == 1


def test_totals_of_one_that_was_thrown_away(xet: pyxet.XetFS, main: str) -> None:
    with pytest.raises(KeyError), xet.transaction as tr:
        xet.pipe_file(f"{main}/x", b"x")
        raise KeyError
    assert tr.totals.written == 1
    assert tr.commits == ()
