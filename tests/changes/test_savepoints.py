"""Transactions that are nested in others: what their end keeps, and what their exception undoes."""

# ruff: noqa: PT012, SIM117  # what has to raise is the end of a block, and which block is the point

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
from support.blocks import Failure, current
from support.contents import BINARY
from support.history import messages
from support.threads import on_thread

import pyxet
from pyxet.errors import (
    AlreadyExistsError,
    ConfigError,
    EditConflictError,
    FileInTheWayError,
    PyxetWarning,
    TransactionError,
)

pytestmark = pytest.mark.usefixtures("nothing_left_behind")

MIB = 1024 * 1024
LARGE = BINARY * 300_000


# -- the forms of a nested block ---------------------------------------------------------------------------------------


@contextmanager
def by_hand(fs: pyxet.XetFS) -> Iterator[pyxet.Transaction[Any]]:
    begun = fs.start_transaction()
    try:
        yield begun
    except BaseException:
        fs.cancel_transaction()
        raise
    fs.end_transaction()


@contextmanager
def of_another_instance(fs: pyxet.XetFS) -> Iterator[pyxet.Transaction[Any]]:
    other = pyxet.XetFS(fs.endpoint, fs.credential.user, fs.credential.token, listings_expiry_time=17)
    with other.transaction as inner:
        yield inner


FORMS: dict[str, Callable[[pyxet.XetFS, pyxet.Transaction[pyxet.XetFS]], Any]] = {
    "property": lambda fs, tr: fs.transaction,
    "called": lambda fs, tr: fs.transaction(),
    "by hand": lambda fs, tr: by_hand(fs),
    "bound": lambda fs, tr: tr.fs.transaction,
    "bound and called": lambda fs, tr: tr.fs.transaction(),
    "bound by hand": lambda fs, tr: by_hand(tr.fs),
    "the outer one": lambda fs, tr: tr,
    "the outer one called": lambda fs, tr: tr(),
    "class": lambda fs, tr: pyxet.Transaction(fs),
    "class, bound": lambda fs, tr: pyxet.Transaction(tr.fs),
    "another instance": lambda fs, tr: of_another_instance(fs),
}
forms = pytest.mark.parametrize("form", FORMS)


@forms
def test_what_a_nested_block_writes_is_a_part_of_the_outer_one(xet: pyxet.XetFS, main: str, form: str) -> None:
    xet.pipe(f"{main}/old.txt", b"old")
    with xet.transaction as tr:
        xet.pipe(f"{main}/before.txt", b"before")
        with FORMS[form](xet, tr) as inner:
            assert inner is not tr
            assert isinstance(inner, pyxet.Transaction)
            assert current(xet) == inner
            xet.pipe(f"{main}/by context.txt", b"1")
            inner.fs.pipe(f"{main}/by fs.txt", b"2")
            tr.fs.pipe(f"{main}/by the outer fs.txt", b"3")
            xet.rm(f"{main}/old.txt")
            left_open = xet.open(f"{main}/left open.txt", "w")
            left_open.write("text")
            assert inner.totals.written == 3
            assert inner.totals.deleted == 1
        assert left_open.closed
        assert current(xet) == tr
        assert xet.cat(f"{main}/left open.txt") == b"text"
        assert not inner.commits
        assert not tr.commits
        assert len(messages(xet, main)) == 1
        with pytest.raises(TransactionError, match="ended"):
            inner.pipe(f"{main}/late.txt", b"late")
        xet.pipe(f"{main}/after.txt", b"after")
    assert len(tr.commits) == 1
    assert inner.commits == tr.commits
    assert sorted(name.removeprefix(f"{main}/") for name in xet.find(main)) == [
        "after.txt", "before.txt", "by context.txt", "by fs.txt", "by the outer fs.txt", "left open.txt",
    ]  # fmt: skip


@forms
def test_an_exception_undoes_what_was_written_in_the_block(xet: pyxet.XetFS, main: str, form: str) -> None:
    xet.pipe({f"{main}/old.txt": b"old", f"{main}/original.bin": BINARY, f"{main}/moved.txt": b"moved"})
    with xet.transaction as tr:
        xet.pipe({f"{main}/a.txt": b"outer", f"{main}/b.bin": BINARY, f"{main}/large.bin": LARGE})
        inner: Any = None
        with pytest.raises(Failure):
            with FORMS[form](xet, tr) as inner:
                xet.pipe(f"{main}/a.txt", b"inner")
                inner.fs.pipe(f"{main}/b.bin", LARGE)
                tr.fs.pipe(f"{main}/new.txt", b"new")
                xet.rm([f"{main}/old.txt", f"{main}/large.bin"])
                xet.cp(f"{main}/original.bin", f"{main}/copy.bin")
                xet.mv(f"{main}/moved.txt", f"{main}/renamed.txt")
                text, binary = xet.open(f"{main}/text.txt", "w"), inner.open(f"{main}/binary.bin", "wb")
                text.write("half")
                binary.write(LARGE[: 3 * MIB])
                raise Failure
        assert text.closed
        assert binary.closed
        assert inner.commits == ()
        assert current(xet) == tr
        assert xet.cat(f"{main}/a.txt") == b"outer"
        assert xet.cat(f"{main}/large.bin") == LARGE
        assert not xet.exists(f"{main}/new.txt")
        xet.pipe(f"{main}/after.txt", b"after")
    assert {name.removeprefix(f"{main}/"): data for name, data in xet.cat(xet.find(main)).items()} == {
        "old.txt": b"old", "original.bin": BINARY, "moved.txt": b"moved", "a.txt": b"outer", "b.bin": BINARY,
        "large.bin": LARGE, "after.txt": b"after",
    }  # fmt: skip
    assert inner.commits == ()
    assert messages(xet, main)[-1] == "Upload 4 files"


def test_deeper_than_two(xet: pyxet.XetFS, main: str) -> None:
    with xet.transaction as tr:
        with xet.transaction as second:
            xet.pipe(f"{main}/2", b"2")
            with pytest.raises(Failure):
                with xet.transaction as third:
                    xet.pipe(f"{main}/2", b"3")
                    with xet.transaction as fourth:
                        xet.pipe(f"{main}/4", b"4")
                        assert current(xet) == fourth
                    assert xet.cat(f"{main}/4") == b"4"
                    raise Failure
            assert xet.find(main) == [f"{main}/2"]
            assert xet.cat(f"{main}/2") == b"2"
            with xet.transaction:
                with xet.transaction:
                    xet.pipe(f"{main}/5", b"5")
    assert xet.find(main) == [f"{main}/2", f"{main}/5"]
    assert second.commits == tr.commits
    assert fourth.commits == third.commits == ()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_any_exception_undoes(xet: pyxet.XetFS, main: str, error: type[BaseException]) -> None:
    with xet.transaction:
        xet.pipe(f"{main}/a.txt", b"a")
        told = pytest.warns(PyxetWarning, match="rolled back") if error is GeneratorExit else nullcontext()
        with told, pytest.raises(error), xet.transaction:
            with xet.transaction(message="deeper"):
                xet.pipe(f"{main}/b.txt", b"b")
            raise error
    assert xet.find(main) == [f"{main}/a.txt"]


def test_cancelled_inside_its_block(xet: pyxet.XetFS, main: str) -> None:
    with xet.transaction as tr:
        xet.pipe(f"{main}/a.txt", b"a")
        with xet.transaction:
            xet.pipe(f"{main}/dropped.txt", b"dropped")
            xet.cancel_transaction()
            # The block goes on, in the outer one.
            assert current(xet) == tr
            xet.pipe(f"{main}/b.txt", b"b")
        assert tr.active
    assert xet.find(main) == [f"{main}/a.txt", f"{main}/b.txt"]


# -- what is undone with it --------------------------------------------------------------------------------------------


def test_guards_are_undone(xet: pyxet.XetFS, main: str) -> None:
    xet.pipe(f"{main}/a.txt", b"a")
    base = xet.branch_info(main.removesuffix("/main"), "main")["commit"]
    with xet.transaction:
        with pytest.raises(Failure):
            with xet.transaction(parent_commit=base):
                xet.pipe_file(f"{main}/b.txt", b"b", mode="create")
                xet.pipe_file(f"{main}/a.txt", b"2", if_match=xet.info(f"{main}/a.txt")["blob_id"])
                raise Failure
        xet.pipe({f"{main}/a.txt": b"ours", f"{main}/b.txt": b"ours"})
        on_thread(lambda: pyxet.XetFS(xet.endpoint, "other", xet.credential.token).pipe(f"{main}/b.txt", b"theirs"))
    assert xet.cat(f"{main}/b.txt") == b"ours"


def test_its_parent_commit_guards_its_paths(xet: pyxet.XetFS, main: str) -> None:
    xet.pipe({f"{main}/a.txt": b"a", f"{main}/b.txt": b"b", f"{main}/c.txt": b"c"})
    base = xet.branch_info(main.removesuffix("/main"), "main")["commit"]
    xet.pipe(f"{main}/b.txt", b"changed since")
    with xet.transaction:
        xet.pipe(f"{main}/b.txt", b"outside of it")
        with xet.transaction(parent_commit=base):
            xet.pipe(f"{main}/a.txt", b"in it")
    with pytest.raises(EditConflictError, match=r"b\.txt"), xet.transaction:
        with xet.transaction(parent_commit=base):
            with xet.transaction:
                xet.rm(f"{main}/b.txt")
    with pytest.raises(EditConflictError, match=r"b\.txt"), xet.transaction:
        xet.start_transaction(parent_commit=base)
        file = xet.open(f"{main}/b.txt", "wb")
        file.write(b"in it")
        xet.end_transaction()
    assert xet.cat(f"{main}/b.txt") == b"outside of it"
    with pytest.raises(ConfigError, match="full commit id"):
        xet.transaction(parent_commit="main")


def test_branches_that_only_it_touched(xet: pyxet.XetFS, main: str) -> None:
    repo = main.removesuffix("/main")
    xet.make_branch(repo, "main", "other")
    with xet.transaction as tr:
        xet.pipe(f"{main}/a.txt", b"a")
        with pytest.raises(Failure):
            with xet.transaction:
                xet.pipe(f"{repo}/other/b.txt", b"b")
                raise Failure
        # Nothing holds the branch at the commit that it was at.
        on_thread(lambda: pyxet.XetFS(xet.endpoint, "other", xet.credential.token).pipe(f"{repo}/other/c.txt", b"c"))
        assert xet.find(f"{repo}/other", refresh=True) == [f"{repo}/other/c.txt"]
        with xet.transaction:
            xet.pipe(f"{repo}/other/d.txt", b"d")
    assert len(tr.commits) == 2
    assert xet.find(f"{repo}/other") == [f"{repo}/other/c.txt", f"{repo}/other/d.txt"]


def test_a_file_belongs_to_the_block_that_it_was_opened_in(xet: pyxet.XetFS, main: str) -> None:
    with xet.transaction:
        outer = xet.open(f"{main}/outer.txt", "w")
        outer.write("1")
        with pytest.raises(Failure):
            with xet.transaction:
                outer.write("2")
                outer.close()
                with xet.open(f"{main}/inner.txt", "w") as inner:
                    inner.write("inner")
                raise Failure
    assert xet.cat(xet.find(main)) == {f"{main}/outer.txt": b"12"}


def test_what_is_appended_to_what_is_undone(xet: pyxet.XetFS, main: str) -> None:
    with xet.transaction as tr:
        xet.pipe(f"{main}/log.txt", b"outer\n")
        with pytest.raises(Failure):
            with xet.transaction:
                xet.pipe(f"{main}/log.txt", b"inner\n")
                appending = on_thread(lambda: tr.fs.open(f"{main}/log.txt", "ab"))
                raise Failure
        appending.write(b"appended\n")
        appending.close()
    assert xet.cat(f"{main}/log.txt") == b"outer\nappended\n"


def test_a_file_that_may_come_back_is_in_the_way(xet: pyxet.XetFS, main: str) -> None:
    xet.pipe(f"{main}/x", b"x")
    with xet.transaction as tr:
        with pytest.raises(Failure):
            with xet.transaction:
                xet.rm(f"{main}/x")
                with pytest.raises(FileInTheWayError):
                    on_thread(lambda: tr.fs.pipe(f"{main}/x/y", b"y"))
                with pytest.raises(AlreadyExistsError, match="until the nested transaction"):
                    on_thread(lambda: tr.fs.pipe_file(f"{main}/x", b"new", mode="create"))
                raise Failure
        with xet.transaction:
            xet.rm(f"{main}/x")
        tr.fs.pipe(f"{main}/x/y", b"y")
    assert xet.find(main) == [f"{main}/x/y"]


# -- messages ----------------------------------------------------------------------------------------------------------


def test_its_message_is_used_if_the_outer_one_has_none(xet: pyxet.XetFS, main: str) -> None:
    with xet.transaction:
        with xet.transaction(message="first"):
            xet.pipe(f"{main}/a.txt", b"a", message="not used")
        with xet.transaction:
            xet.set_commit_message("second")
            xet.pipe(f"{main}/b.txt", b"b")
        with xet.transaction:
            with xet.transaction:
                xet.pipe(f"{main}/c.txt", b"c", message="of a call")
        with pytest.raises(Failure):
            with xet.transaction(message="undone"):
                xet.pipe(f"{main}/d.txt", b"d")
                raise Failure
    with xet.transaction(message="of the outer one"):
        with xet.transaction(message="of the inner one"):
            xet.pipe(f"{main}/e.txt", b"e")
    assert messages(xet, main) == ["first\n\nsecond\n\nof a call", "of the outer one"]
