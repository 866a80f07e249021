"""Deleting: what is a name and what is a pattern, and what is not there."""

from __future__ import annotations

import pytest

import pyxet
from pyxet import NotFoundError, NotSupportedError

pytestmark = pytest.mark.usefixtures("nothing_left_behind")


def test_one_file_is_deleted_by_its_name_though_it_could_be_a_pattern(xet: pyxet.XetFS, main: str) -> None:
    xet.pipe({f"{main}/a[1].txt": b"named", f"{main}/a1.txt": b"matched", f"{main}/d/x": b"x"})
    xet.rm_file(f"{main}/a[1].txt")
    assert xet.find(main) == [f"{main}/a1.txt", f"{main}/d/x"]
    with pytest.raises(pyxet.EntryNotFoundError):
        xet.rm_file(f"{main}/a[1].txt")
    with pytest.raises(IsADirectoryError):
        xet.rm([f"{main}/d"], assume_literal=True)
    xet.rm([f"{main}/a1.txt", f"{main}/d/x"], assume_literal=True)
    assert xet.find(main) == []


def test_the_name_of_one_file_to_delete_is_no_pattern(xet: pyxet.XetFS, main: str) -> None:
    xet.pipe({f"{main}/{name}": b"x" for name in ("a*", "ab", "d/[x]", "d/x")})
    xet.rm_file(f"{main}/a*", message="only that one")
    xet.rm_file(f"{main}/d/[x]")
    assert xet.find(main) == [f"{main}/ab", f"{main}/d/x"]
    assert xet.log(main)[1].message == "only that one"
    with pytest.raises(NotFoundError):
        xet.rm_file(f"{main}/?b")
    with pytest.raises(IsADirectoryError):
        xet.rm_file(f"{main}/d")
    with pytest.raises(NotSupportedError, match="delete_branch"):
        xet.rm_file(main)
    with xet.transaction:
        xet.pipe_file(f"{main}/new", b"x")
        xet.rm_file(f"{main}/new")
    assert len(xet.find(main)) == 2


def test_what_is_not_there_cannot_be_expanded(xet: pyxet.XetFS, main: str) -> None:
    for call in (xet.rm, xet.cat):
        with pytest.raises(NotFoundError, match="has no 'gone'"):
            call(f"{main}/gone", recursive=True)
