"""Files in a transaction: those that are left open belong to it, to their last layer, and end with it."""

# ruff: noqa: PT012  # what has to raise is the end of a block

from __future__ import annotations

import bz2
import gc
import gzip
import io
import zipfile
from collections.abc import Callable
from typing import Any

import fsspec
import pytest
from support.contents import BINARY

import pyxet

pytestmark = pytest.mark.usefixtures("nothing_left_behind")


@pytest.fixture(params=["text", "gzip", "own text", "own gzip", "own zip", "fsspec", "fsspec gzip", "pandas", "bz2"])
def left_open(
    request: pytest.FixtureRequest, xet: pyxet.XetFS, main: str, url: str, options: dict[str, str]
) -> tuple[Callable[[], Any], Callable[[bytes], bytes]]:
    """Makes a text file that is written and left open; and how to decode what it wrote."""
    path = f"{main}/left.txt"

    def own(wrap: Callable[[Any], Any]) -> Any:
        return io.TextIOWrapper(wrap(xet.open(path, "wb")))

    def zipped(file: Any) -> Any:
        archive = zipfile.ZipFile(file, "w")
        return archive.open("member", "w")

    def unzipped(data: bytes) -> bytes:
        return zipfile.ZipFile(io.BytesIO(data)).read("member")

    def pandas() -> Any:
        from pandas.io.common import get_handle

        return get_handle(f"{url}/left.txt", "w", compression="gzip", storage_options=options).handle

    kinds: dict[str, tuple[Callable[[], Any], Callable[[bytes], bytes]]] = {
        "text": (lambda: xet.open(path, "w"), bytes),
        "gzip": (lambda: xet.open(path, "wt", compression="gzip"), gzip.decompress),
        "own text": (lambda: own(lambda file: file), bytes),
        "own gzip": (lambda: own(lambda file: gzip.GzipFile(fileobj=file, mode="wb")), gzip.decompress),
        "own zip": (lambda: own(zipped), unzipped),
        "fsspec": (lambda: fsspec.open(f"{url}/left.txt", "w", **options).open(), bytes),
        "fsspec gzip": (
            lambda: fsspec.open(f"{url}/left.txt", "w", compression="gzip", **options).open(), gzip.decompress,
        ),
        "pandas": (pandas, gzip.decompress),
        "bz2": (lambda: own(lambda file: bz2.BZ2File(file, "w")), bz2.decompress),
    }  # fmt: skip
    return kinds[request.param]


def test_left_open_files_are_closed_from_the_outside(
    left_open: tuple[Callable[[], Any], Callable[[bytes], bytes]], xet: pyxet.XetFS, main: str
) -> None:
    make, decode = left_open
    with xet.transaction as tr:
        file = make()
        file.write("all of the text")
        xet.pipe(f"{main}/a.txt", b"a")
    assert len(tr.commits) == 1
    assert file.closed
    assert decode(xet.cat(f"{main}/left.txt")) == b"all of the text"


def test_left_open_files_go_with_a_transaction_that_fails(
    left_open: tuple[Callable[[], Any], Callable[[bytes], bytes]], xet: pyxet.XetFS, main: str
) -> None:
    make, _ = left_open
    with pytest.raises(KeyError), xet.transaction:
        file = make()
        file.write("half of the te")
        raise KeyError
    with pytest.raises(ValueError):
        file.write("more")
    file.close()
    del file
    gc.collect()
    assert xet.find(main) == []


def test_many_left_open(xet: pyxet.XetFS, main: str) -> None:
    with xet.transaction as tr:
        files = [xet.open(f"{main}/{number}", "w") for number in range(200)]
        for file in files:
            file.write("x")
    assert len(tr.commits) == 1
    assert len(xet.find(main)) == 200


def test_file_closed_before_the_end_and_files_that_fail(xet: pyxet.XetFS, main: str) -> None:
    with xet.transaction:
        with xet.open(f"{main}/good.txt", "w") as file:
            file.write("good")
        try:
            with xet.open(f"{main}/bad.txt", "w") as file:
                file.write("half")
                raise KeyError
        except KeyError:
            pass
        assert xet.find(main) == [f"{main}/good.txt"]
    assert xet.find(main) == [f"{main}/good.txt"]


def test_a_file_that_cannot_be_closed_fails_the_transaction(xet: pyxet.XetFS, main: str) -> None:
    with pytest.raises(UnicodeEncodeError), xet.transaction as tr:
        xet.pipe(f"{main}/a.txt", b"a")
        file = xet.open(f"{main}/b.txt", "w", encoding="ascii")
        file.write("\N{SNOWMAN}")
    assert tr.commits == ()
    assert xet.find(main) == []


def test_ended_while_an_exception_is_handled(xet: pyxet.XetFS, main: str) -> None:
    tr = xet.start_transaction()
    file = xet.open(f"{main}/a.txt", "w")
    file.write("all")
    try:
        raise KeyError
    except KeyError:
        xet.end_transaction()
    assert len(tr.commits) == 1
    assert xet.cat(f"{main}/a.txt") == b"all"


def test_autocommit_off_waits_for_commit(xet: pyxet.XetFS, main: str) -> None:
    with pytest.warns(pyxet.PyxetWarning, match="main/c' was closed and never committed"), xet.transaction:  # noqa: PT031
        kept, dropped, forgotten = (xet.open(f"{main}/{name}", "wb", autocommit=False) for name in "abc")
        for file in (kept, dropped, forgotten):
            with file:
                file.write(BINARY)
        assert xet.find(main) == []
        kept.commit()
        dropped.discard()
        assert xet.find(main) == [f"{main}/a"]
    assert xet.find(main) == [f"{main}/a"]
