"""Messages of commits: what is said by default, and which of those that are given is taken."""

from __future__ import annotations

import pytest
from support.history import messages

import pyxet

pytestmark = pytest.mark.usefixtures("nothing_left_behind")


@pytest.mark.parametrize("message", [None, "", "  \n "])
def test_default_message_tells_the_paths(xet: pyxet.XetFS, main: str, message: str | None) -> None:
    with xet.transaction(message=message):
        xet.pipe(f"{main}/a.txt", b"a")
    with xet.transaction(message=message):
        xet.pipe({f"{main}/b.txt": b"b", f"{main}/c.txt": b"c"})
        xet.rm(f"{main}/a.txt")
    assert messages(xet, main) == ["Upload a.txt", "Upload 2 files, Delete a.txt"]


def test_default_message_of_copies_and_moves(xet: pyxet.XetFS, main: str, repo: str) -> None:
    xet.pipe({f"{main}/{name}": name.encode() for name in ("a", "b", "d/1", "d/2")}, message="first")
    xet.cp(f"{main}/a", f"{main}/copy")
    xet.mv(f"{main}/a", f"{main}/moved")
    xet.mv(f"{main}/d", f"{main}/e", recursive=True)
    xet.make_branch(repo, "main", "other")
    xet.mv(f"{main}/b", f"{repo}/other/c")
    with xet.transaction:
        xet.pipe({f"{main}/new": b"new", f"{main}/again": b"new"})
        xet.mv(f"{main}/new", f"{main}/newer")
        xet.cp(f"{main}/copy", f"{main}/again")
        xet.mv(f"{main}/moved", f"{main}/x")
        xet.mv(f"{main}/x", f"{main}/y")
        xet.rm(f"{main}/e/1")
        xet.cp(f"{main}/copy", f"{main}/z")
        xet.pipe(f"{main}/z", b"not a copy")
    assert messages(xet, main)[:-1] == [
        "first", "Copy copy", "Move a to moved", "Move 2 files", "Delete b",
    ]  # fmt: skip
    assert messages(xet, main)[-1] == "Upload 2 files, Copy again, Move moved to y, Delete e/1"
    assert messages(xet, f"{repo}/other")[-1] == "Copy c"


def test_message_of_the_call_that_begins_it(xet: pyxet.XetFS, main: str) -> None:
    with xet.transaction(message="\n  given\n"):
        xet.pipe(f"{main}/a.txt", b"a", message="not this one")
    assert messages(xet, main) == ["given"]
