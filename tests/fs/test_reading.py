"""Content: whole, in ranges, into local files, through open files; and how many requests that takes."""

from __future__ import annotations

import gzip
import io
import pickle
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.faults import PLAN, RESOLVE, TOKEN, XORB, FaultProxy, answer, cut, flipped

import pyxet
from pyxet import AccessDeniedError, IntegrityError, NotFoundError, ServerError, TransactionError, XetURLError
from pyxet.testing import LocalEndpoint

KIB = 1024
MIB = 1024 * KIB
CONTENT = random.Random(__name__).randbytes(3 * MIB)


@pytest.fixture
def big(xet: pyxet.XetFS, main: str) -> str:
    """A file whose content is in Xet."""
    xet.pipe_file(f"{main}/d/big.bin", CONTENT)
    return f"{main}/d/big.bin"


# -- into memory -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (None, None),
        (0, 10),
        (5, None),
        (None, 7),
        (-9, None),
        (-9, -3),
        (2 * MIB, 2 * MIB + 1),
        (10, 5),
        (3 * MIB, 9 * MIB),
    ],
)
def test_cat_file_takes_a_slice(xet: pyxet.XetFS, main: str, big: str, start: int | None, end: int | None) -> None:
    assert xet.cat_file(big, start, end) == CONTENT[start:end]
    assert xet.cat(big, start=start, end=end) == CONTENT[start:end]
    xet.pipe_file(f"{main}/small", CONTENT[:100])
    assert xet.cat_file(f"{main}/small", start, end) == CONTENT[:100][start:end]


def test_cat_of_one_of_many_and_of_folders(xet: Any, main: str, big: str) -> None:
    xet.pipe({f"{main}/d/x": b"x", f"{main}/d/e/y": b"y", f"{main}/empty": b""})
    assert xet.cat(f"{main}/empty") == b""
    assert xet.cat([f"{main}/d/x"]) == {f"{main}/d/x": b"x"}
    assert xet.cat(f"{main}/d/*") == {big: CONTENT, f"{main}/d/x": b"x"}
    assert xet.cat(f"{main}/d", recursive=True) == {big: CONTENT, f"{main}/d/x": b"x", f"{main}/d/e/y": b"y"}
    assert xet.cat(f"{main}/d/x", recursive=True) == b"x"
    with pytest.raises(NotFoundError):
        xet.cat(f"{main}/nope")
    with pytest.raises(FileNotFoundError):
        xet.cat(f"{main}/nope/*")
    for folder in (f"{main}/d", [f"{main}/d"]):
        with pytest.raises(IsADirectoryError):
            xet.cat(folder)
    with pytest.raises(XetURLError):
        xet.cat(main)


def test_cat_has_errors_in_their_place(xet: pyxet.XetFS, main: str) -> None:
    xet.pipe_file(f"{main}/x", b"x")
    paths = [f"{main}/x", f"{main}/nope", "acme/nothing/main/z"]
    with pytest.raises(NotFoundError):
        xet.cat(paths)
    assert xet.cat(paths, on_error="omit") == {paths[0]: b"x"}
    returned = xet.cat(paths, on_error="return")
    assert returned.pop(paths[0]) == b"x"
    assert {path: type(error).__mro__[1] for path, error in returned.items()} == dict.fromkeys(paths[1:], NotFoundError)
    assert isinstance(xet.cat(paths[1], on_error="return"), NotFoundError)


def test_cat_ranges(xet: pyxet.XetFS, main: str, big: str) -> None:
    xet.pipe_file(f"{main}/small", CONTENT[:100])
    paths = [big, f"{main}/small", big, big, f"{main}/small"]
    starts: list[int | None] = [5, 0, 2 * MIB, -10, None]
    ends: list[int | None] = [50, 10, 2 * MIB + 100, None, -90]
    expected = [CONTENT[5:50], CONTENT[:10], CONTENT[2 * MIB : 2 * MIB + 100], CONTENT[-10:], CONTENT[:10]]
    assert xet.cat_ranges(paths, starts, ends) == expected
    assert xet.cat_ranges([big, big], 3, [4, 5]) == [CONTENT[3:4], CONTENT[3:5]]
    assert xet.cat_ranges([], [], []) == []
    with pytest.raises(ValueError, match="one start and one end for each path"):
        xet.cat_ranges([big], [1, 2], 3)
    with pytest.raises(TypeError):
        xet.cat_ranges(big, 1, 2)


def test_cat_ranges_has_errors_in_their_place(
    through: tuple[FaultProxy, pyxet.XetFS], xet: pyxet.XetFS, main: str, big: str
) -> None:
    proxy, fs = through
    xet.make_repo(f"{main.rpartition('/')[0]}-closed")
    closed = f"{main.rpartition('/')[0]}-closed/main/x"
    proxy.rule(r"\w+ /api/models/acme/.*-closed/", answer(403))
    paths = [big, f"{main}/nope", closed, f"{main}/d", "xet://elsewhere.example:acme/r/main/x", big]
    kinds = [bytes, NotFoundError, AccessDeniedError, IsADirectoryError, XetURLError, bytes]
    results = fs.cat_ranges(paths, 0, 5)
    for result, kind in zip(results, kinds, strict=True):
        assert isinstance(result, kind)
    assert results[0] == results[-1] == CONTENT[:5]
    assert fs.cat_ranges(paths, 0, 5, on_error="omit") == [CONTENT[:5]] * 2
    with pytest.raises(NotFoundError):
        fs.cat_ranges(paths, 0, 5, on_error="raise")


def test_near_ranges_are_one_request_and_far_ones_are_not(
    through: tuple[FaultProxy, pyxet.XetFS], big: str
) -> None:  # fmt: skip
    proxy, fs = through
    near = [number * 1000 for number in range(50)]
    found = fs.cat_ranges([big] * 50, near, [start + 10 for start in near])
    assert found == [CONTENT[start : start + 10] for start in near]
    assert (proxy.count(PLAN), proxy.count(XORB)) == (1, 1)
    proxy.clear()
    far = [0, MIB, 2 * MIB]
    fs.cat_ranges([big] * 3, far, [start + 10 for start in far])
    assert proxy.count(PLAN) == 3
    proxy.clear()
    fs.cat_ranges([big] * 3, [start + 20 for start in far], [start + 30 for start in far], max_gap=MIB)
    assert proxy.count(PLAN) == 1


# -- requests ----------------------------------------------------------------------------------------------------------


def test_requests_of_a_cold_and_a_warm_read(through: tuple[FaultProxy, pyxet.XetFS], main: str, big: str) -> None:
    proxy, fs = through
    assert fs.cat_file(big) == CONTENT
    assert [proxy.count(pattern) for pattern in (r"POST /api/.*/paths-info/", TOKEN, PLAN, XORB)] == [1, 1, 1, 1]
    assert len(proxy.seen) == 4
    proxy.clear()
    assert fs.cat_file(big) == CONTENT
    # The commit is as fresh as it has to be, the token and the plan are kept.
    assert len(proxy.seen) <= 2
    fs.pipe_file(f"{main}/small", b"small")
    proxy.clear()
    assert fs.cat_file(f"{main}/small") == b"small"
    assert len(proxy.seen) == 2
    assert proxy.count(RESOLVE) == 1


def test_the_footer_of_a_parquet_file(through: tuple[FaultProxy, pyxet.XetFS], xet: pyxet.XetFS, main: str) -> None:
    table = pa.table({"number": range(200_000), "text": [str(number) for number in range(200_000)]})
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    xet.pipe_file(f"{main}/t.parquet", buffer.getvalue())
    proxy, fs = through
    with fs.open(f"{main}/t.parquet") as file:
        assert pq.ParquetFile(file).metadata.num_rows == 200_000
    assert len(proxy.seen) <= 4
    with fs.open(f"{main}/t.parquet") as file:
        assert pq.read_table(file).equals(table)


# -- what is wrong with it ---------------------------------------------------------------------------------------------


def test_damaged_content_is_an_error(through: tuple[FaultProxy, pyxet.XetFS], big: str, tmp_path: Path) -> None:
    proxy, fs = through
    proxy.rule(XORB, flipped(0.5))
    with pytest.raises((IntegrityError, ValueError)):
        fs.cat_file(big)
    with pytest.raises((IntegrityError, ValueError)):
        fs.get_file(big, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_a_connection_that_breaks_off_is_gone_on_from(through: tuple[FaultProxy, pyxet.XetFS], big: str) -> None:
    proxy, fs = through
    proxy.rule(XORB, cut(0.5), times=2)
    assert fs.cat_file(big) == CONTENT


# -- into local files --------------------------------------------------------------------------------------------------


def test_get_file_into_paths_folders_and_file_objects(xet: pyxet.XetFS, main: str, big: str, tmp_path: Path) -> None:
    xet.get_file(big, tmp_path / "new" / "x.bin")
    assert (tmp_path / "new" / "x.bin").read_bytes() == CONTENT
    buffer = io.BytesIO()
    xet.get_file(big, buffer)
    assert buffer.getvalue() == CONTENT
    xet.get_file(f"{main}/d", tmp_path / "folder")
    xet.get_file(main, tmp_path / "branch")
    assert (tmp_path / "folder").is_dir()
    assert (tmp_path / "branch").is_dir()
    for missing in (f"{main}/nope", f"{main}x", "acme/nothing/main", "acme/nothing/main/x"):
        with pytest.raises(NotFoundError):
            xet.get_file(missing, tmp_path / "missing")
        with pytest.raises(NotFoundError):
            xet.get(missing, str(tmp_path / "missing"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["branch", "folder", "new"]


def test_get_of_folders_patterns_and_lists(xet: pyxet.XetFS, main: str, big: str, tmp_path: Path) -> None:
    xet.pipe({f"{main}/d/x": b"x", f"{main}/d/e/y": b"y"})
    xet.get(f"{main}/d", str(tmp_path / "all"), recursive=True)
    assert (tmp_path / "all/e/y").read_bytes() == b"y"
    assert (tmp_path / "all/big.bin").read_bytes() == CONTENT
    xet.get(f"{main}/d/*", tmp_path / "some/")
    assert sorted(path.name for path in (tmp_path / "some").iterdir()) == ["big.bin", "x"]
    xet.get([f"xet://{main}/d/x", f"{main}/d/e/y"], [str(tmp_path / "1"), str(tmp_path / "2")])
    assert (tmp_path / "1").read_bytes() + (tmp_path / "2").read_bytes() == b"xy"
    xet.download(f"{main}/d/x", str(tmp_path / "3"))
    assert (tmp_path / "3").read_bytes() == b"x"


def test_pending_content_is_read_like_any_other(xet: pyxet.XetFS, main: str, big: str, tmp_path: Path) -> None:
    with xet.transaction as transaction:
        xet.pipe_file(f"{main}/new", CONTENT[:MIB])
        assert xet.cat(f"{main}/new") == CONTENT[:MIB]
        assert xet.cat_ranges([f"{main}/new", big], [5, 6], [10, 11]) == [CONTENT[5:10], CONTENT[6:11]]
        xet.get_file(f"{main}/new", tmp_path / "new")
        with xet.open(f"{main}/new") as file:
            file.seek(100)
            assert file.read(10) == CONTENT[100:110]
            with pytest.raises(TransactionError):
                pickle.dumps(file)
        assert not pyxet.XetFS(xet.endpoint, "other", xet.credential.token).exists(f"{main}/new")
        assert transaction.fs.exists(f"{main}/new")
    assert (tmp_path / "new").read_bytes() == CONTENT[:MIB]
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_a_get_that_fails_leaves_no_file(through: tuple[FaultProxy, pyxet.XetFS], main: str, tmp_path: Path) -> None:
    proxy, fs = through
    fs.pipe_file(f"{main}/small", b"small")
    proxy.rule(RESOLVE, answer(500))
    with pytest.raises(ServerError):
        fs.get_file(f"{main}/small", tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


# -- open files --------------------------------------------------------------------------------------------------------


def test_open_files_read_lines_text_and_compressed(xet: pyxet.XetFS, main: str) -> None:
    text = "".join(f"line {number} é\n" for number in range(5000))
    xet.pipe({f"{main}/t.txt": text.encode(), f"{main}/t.txt.gz": gzip.compress(text.encode())})
    with xet.open(f"{main}/t.txt") as file:
        assert (file.size, file.readable(), file.seekable(), file.writable()) == (len(text.encode()), True, True, False)
        assert file.readline() == b"line 0 \xc3\xa9\n"
        assert file.readlines() == text.encode().splitlines(keepends=True)[1:]
    for mode in ("r", "rt"):
        with xet.open(f"{main}/t.txt", mode, encoding="utf-8", newline="") as lines:
            assert list(lines) == text.splitlines(keepends=True)
    with xet.open(f"{main}/t.txt.gz", "rt", compression="infer", encoding="utf-8") as unpacked:
        assert unpacked.read() == text
    with xet.open(f"{main}/t.txt", block_size=1000, cache_type="readahead") as file:
        assert file.read(10) + file.read() == text.encode()
    buffer = bytearray(7)
    with xet.open(f"{main}/t.txt") as file:
        assert file.readinto(buffer) == 7
        assert bytes(buffer) == text.encode()[:7]
        assert file.seek(-5, 2) == file.tell() == len(text.encode()) - 5
        assert file.readall() == text.encode()[-5:]
        assert file.read(1) == b""
    with pytest.raises(ValueError, match="closed"):
        file.read()
    for path, error in ((f"{main}/nope", NotFoundError), (f"{main}x/t.txt", NotFoundError)):
        with pytest.raises(error):
            xet.open(path)
    xet.pipe_file(f"{main}/d/x", b"")
    with pytest.raises(IsADirectoryError):
        xet.open(f"{main}/d")
    for mode in ("r+b", "rw", "q"):
        with pytest.raises(ValueError, match="mode"):
            xet.open(f"{main}/t.txt", mode)


def test_a_pickled_file_goes_on_where_it_was(xet: pyxet.XetFS, big: str) -> None:
    with xet.open(big) as file:
        file.seek(1000)
        file.read(10)
        pickled = pickle.dumps(file)
    xet.pipe_file(big, b"other")
    with pickle.loads(pickled) as again:
        assert again.read(10) == CONTENT[1010:1020]


async def test_an_asynchronous_file(shared_endpoint: LocalEndpoint, big: str) -> None:
    fs = pyxet.AsyncXetFileSystem(shared_endpoint.url, shared_endpoint.user, shared_endpoint.token, asynchronous=True)
    async with fs, await fs.open_async(big) as file:
        assert await file.read(10) == CONTENT[:10]
        file.seek(-10, 2)
        assert await file.read() == CONTENT[-10:]
        assert await file.read(5) == b""
        file.seek(0)
        assert await file.read() == CONTENT
    with pytest.raises(ValueError, match="closed"):
        await file.read()
    async with fs:
        with pytest.raises(ValueError, match="binary"):
            await fs.open_async(big, "r")
        with pytest.raises(NotFoundError):
            await fs.open_async(f"{big}x")


def test_a_listing_that_leads_out_of_the_folder_is_refused(
    xet: pyxet.XetFS, main: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An endpoint may say anything; what it says must not be written beside the folder that was asked for."""

    async def lying(self: pyxet.XetFS, path: str, **options: object) -> list[str]:
        return [f"{main}/d/../../../escaped.txt"]

    xet.pipe(f"{main}/d/a.txt", b"a")
    monkeypatch.setattr(pyxet.XetFS, "_find", lying)
    with pytest.raises(pyxet.XetURLError, match="outside of"):
        xet.get(f"{main}/d", str(tmp_path / "into"), recursive=True)
    assert not list(tmp_path.rglob("escaped.txt"))
