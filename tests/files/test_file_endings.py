"""What ``close`` means where an exception is being handled: published, or discarded, and then nobody misses the word."""

# ruff: noqa: PT012, PT031  # what has to raise, or to warn, is the end of a block

from __future__ import annotations

import asyncio
import contextlib
import io
import queue
import warnings
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio
import fsspec
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow.fs import FSSpecHandler, PyFileSystem
from support.proxied import asynchronous

import pyxet
from pyxet.errors import IntegrityError, PyxetWarning
from pyxet.testing import LocalEndpoint

pytestmark = pytest.mark.usefixtures("nothing_left_behind")


class Broken(Exception):
    """What goes wrong in these tests."""


class Empty(queue.Empty):
    """That of a library's own queue."""


TEXT = "all of it"


def text(fs: Any, path: str, url: str, options: Any) -> Any:
    return fs.open(path, "w")


def binary(fs: Any, path: str, url: str, options: Any) -> Any:
    return fs.open(path, "wb")


def compressed(fs: Any, path: str, url: str, options: Any) -> Any:
    return fs.open(path, "wt", compression="gzip")


def zipped(fs: Any, path: str, url: str, options: Any) -> Any:
    return fs.open(path, "wb", compression="zip")


def opened_by_fsspec(fs: Any, path: str, url: str, options: Any) -> Any:
    return fsspec.open(url, "w", **options).open()


def text_of_the_library(fs: Any, path: str, url: str, options: Any) -> Any:
    return io.TextIOWrapper(fs.open(path, "wb"))


def buffer_of_the_library(fs: Any, path: str, url: str, options: Any) -> Any:
    return io.BufferedWriter(fs.open(path, "wb"))


def of_arrow(fs: Any, path: str, url: str, options: Any) -> Any:
    return PyFileSystem(FSSpecHandler(fs)).open_output_stream(path)


KINDS = [
    text, binary, compressed, zipped, opened_by_fsspec, text_of_the_library,
    buffer_of_the_library, of_arrow,
]  # fmt: skip


def write(file: Any) -> None:
    try:
        file.write(TEXT)
    except TypeError:
        file.write(TEXT.encode())


@pytest.fixture(params=KINDS)
def opened(request: Any, xet: pyxet.XetFS, main: str, url: str, options: dict[str, str]) -> Callable[[], Any]:
    return lambda: request.param(xet, f"{main}/a", f"{url}/a", options)


def is_there(fs: pyxet.XetFS, main: str) -> bool:
    return fs.find(main) == [f"{main}/a"] and fs.info(f"{main}/a")["size"] > 0


# -- with statements ---------------------------------------------------------------------------------------------------


def test_a_block_in_a_handler_publishes(xet: pyxet.XetFS, main: str, opened: Callable[[], Any]) -> None:
    file = opened()
    try:
        raise KeyError
    except KeyError:
        with file:
            write(file)
    assert is_there(xet, main)


def test_a_block_in_a_handler_that_raises_again_discards(
    xet: pyxet.XetFS, main: str, opened: Callable[[], Any]
) -> None:
    with pytest.raises(Broken):
        try:
            raise Broken
        except Broken:
            with opened() as file:
                write(file)
                raise
    assert xet.find(main) == []


def test_exit_by_hand_publishes(xet: pyxet.XetFS, main: str, opened: Callable[[], Any]) -> None:
    file = opened()
    write(file)
    try:
        raise KeyError
    except KeyError:
        file.__exit__(None, None, None)
    assert is_there(xet, main)


@contextlib.contextmanager
def lent(file: Any) -> Iterator[Any]:
    try:
        yield file
    finally:
        file.close()


def in_a_stack(file: Any) -> Any:
    stack = contextlib.ExitStack()
    stack.callback(file.close)
    return stack


class _Job:
    def __init__(self, file: Any) -> None:
        self.file = file

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self.file.close()


MANAGERS: list[Callable[[Any], Any]] = [contextlib.closing, lent, in_a_stack, _Job]


@pytest.mark.parametrize("manager", MANAGERS)
def test_what_other_context_managers_were_told_counts(
    xet: pyxet.XetFS, main: str, manager: Callable[[Any], Any]
) -> None:
    file, failing = xet.open(f"{main}/a", "w"), xet.open(f"{main}/b", "w")
    try:
        raise KeyError
    except KeyError:
        with manager(file):
            write(file)
    with pytest.raises(Broken), manager(failing):
        write(failing)
        raise Broken
    assert is_there(xet, main)


def test_an_exception_after_the_end_of_a_block_discards(xet: pyxet.XetFS, main: str) -> None:
    class Failing(_Job):
        def __exit__(self, *_: object) -> None:
            try:
                raise Broken
            except Broken:
                self.file.close()

    with pytest.warns(PyxetWarning, match="closed while Broken"), Failing(xet.open(f"{main}/a", "w")):
        pass
    assert xet.find(main) == []


def test_a_file_that_an_exit_opens_is_its_own(xet: pyxet.XetFS, main: str) -> None:
    class Reporting:
        def __enter__(self) -> None:
            pass

        def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
            file = xet.open(f"{main}/a", "w")
            file.write(repr(error))
            file.close()

    with pytest.raises(Broken), Reporting():
        raise Broken
    assert xet.cat(f"{main}/a") == b"Broken()"


def test_a_stack_whose_callbacks_fail_discards(xet: pyxet.XetFS, main: str) -> None:
    def fail() -> None:
        raise Broken

    with pytest.raises(Broken), contextlib.ExitStack() as stack:
        file = xet.open(f"{main}/a", "w")
        stack.callback(file.close)
        stack.callback(fail)
        write(file)
    assert xet.find(main) == []


# -- close() -----------------------------------------------------------------------------------------------------------

ENDS: list[BaseException] = [
    StopIteration(), StopAsyncIteration(), queue.Empty(), asyncio.QueueEmpty(), Empty(), anyio.EndOfStream(),
    BaseExceptionGroup("", [StopIteration(), queue.Empty()]),
]  # fmt: skip
FAILURES: list[BaseException] = [
    KeyError(), EOFError(), KeyboardInterrupt(), asyncio.CancelledError(), GeneratorExit(), SystemExit(), Broken(),
    TimeoutError(), BaseExceptionGroup("", [StopIteration(), Broken()]),
]  # fmt: skip


@pytest.mark.parametrize("error", ENDS, ids=repr)
def test_the_end_of_items_is_an_end(xet: pyxet.XetFS, main: str, error: Any) -> None:
    file = xet.open(f"{main}/a", "w")
    try:
        write(file)
        raise error
    except type(error):
        file.close()
    assert is_there(xet, main)


@pytest.mark.parametrize("error", FAILURES, ids=repr)
def test_other_exceptions_discard_and_say_so(xet: pyxet.XetFS, main: str, error: Any) -> None:
    file = xet.open(f"{main}/a", "w")
    match = f"{main}/a' is discarded, as it was closed while {type(error).__name__}"
    with pytest.warns(PyxetWarning, match=match) as said:
        try:
            write(file)
            raise error
        except type(error):
            file.close()
    assert [item.filename for item in said] == [__file__]
    assert xet.find(main) == []


def test_all_kinds_of_files_follow_these_rules(xet: pyxet.XetFS, main: str, opened: Callable[[], Any]) -> None:
    file = opened()
    with pytest.warns(PyxetWarning, match=f"{main}/a' is discarded, as it was closed while Broken") as said:
        try:
            write(file)
            raise Broken
        except Broken:
            file.close()
    assert len(said) == 1
    assert xet.find(main) == []
    file = opened()
    try:
        write(file)
        raise queue.Empty
    except queue.Empty:
        file.close()
    assert is_there(xet, main)


@pytest.mark.parametrize("error", [*ENDS, *FAILURES], ids=repr)
async def test_asynchronous_files(shared_endpoint: LocalEndpoint, main: str, error: Any) -> None:
    async with asynchronous(shared_endpoint) as fs:
        file, block = await fs.open_async(f"{main}/a", "wb"), await fs.open_async(f"{main}/b", "wb")
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always", PyxetWarning)
            try:
                await file.write(b"x")
                raise error
            except type(error):
                await file.close()
                async with block:
                    await block.write(b"x")
        ends = any(error is item for item in ENDS)
        assert await fs._find(main) == [f"{main}/a", f"{main}/b"][0 if ends else 1 :]
        assert len(said) == (0 if ends else 1)


async def test_asynchronous_context_managers(shared_endpoint: LocalEndpoint, main: str) -> None:
    @contextlib.asynccontextmanager
    async def lent(file: Any) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await file.close()

    async with asynchronous(shared_endpoint) as fs:
        for name, manager in (("a", lent), ("b", contextlib.aclosing), ("c", None)):
            good, bad = [await fs.open_async(f"{main}/{name}{number}", "wb") for number in range(2)]
            for file in (good, bad):
                file.aclose = file.close
            try:
                raise KeyError
            except KeyError:
                async with manager(good) if manager else good:
                    await good.write(b"x")
            with pytest.raises(Broken):
                async with manager(bad) if manager else bad:
                    raise Broken
        assert await fs._find(main) == [f"{main}/{name}0" for name in "abc"]


def test_an_emptied_queue_in_a_handler_is_no_end(xet: pyxet.XetFS, main: str) -> None:
    file = xet.open(f"{main}/a", "w")
    with pytest.warns(PyxetWarning, match="closed while Broken"):
        try:
            raise Broken
        except Broken:
            try:
                queue.Queue[int]().get_nowait()
            except queue.Empty:
                file.close()
    assert xet.find(main) == []


def test_an_end_that_comes_of_a_key_error(xet: pyxet.XetFS, main: str) -> None:
    class Items:
        def __next__(self) -> None:
            try:
                raise KeyError
            except KeyError:
                raise StopIteration  # noqa: B904  # as iterators do it

    with contextlib.suppress(StopIteration):
        file = xet.open(f"{main}/a", "w")
        try:
            write(file)
            next(Items())
        finally:
            file.close()
    assert is_there(xet, main)


def test_an_outer_exception_that_was_there_at_open(xet: pyxet.XetFS, main: str) -> None:
    try:
        raise Broken
    except Broken:
        try:
            raise KeyError
        except KeyError:
            file = xet.open(f"{main}/a", "w")
        write(file)
        file.close()
    assert is_there(xet, main)


def test_a_generator_that_is_closed_says_so(xet: pyxet.XetFS, main: str) -> None:
    def sink() -> Iterator[None]:
        file = xet.open(f"{main}/a", "w")
        try:
            while True:
                write(file)
                yield
        finally:
            file.close()

    running = sink()
    next(running)
    with pytest.warns(PyxetWarning, match="GeneratorExit"):
        running.close()  # type: ignore[attr-defined]
    assert xet.find(main) == []


# -- libraries ---------------------------------------------------------------------------------------------------------


def test_libraries_in_a_handler(xet: pyxet.XetFS, main: str, url: str, options: dict[str, str]) -> None:
    frame = pd.DataFrame({"a": [1]})
    table = pa.table({"a": [1]})
    archive = xet.open(f"{main}/zip", "wb")
    try:
        raise KeyError
    except KeyError:
        frame.to_csv(f"{url}/csv", storage_options=options)
        frame.to_csv(f"{url}/csv.gz", storage_options=options)
        frame.to_parquet(f"{url}/pandas.parquet", storage_options=options)
        pq.write_table(table, f"{main}/arrow.parquet", filesystem=xet)
        with archive, zipfile.ZipFile(archive, "w") as members:
            members.writestr("a", "a")
    names = ["arrow.parquet", "csv", "csv.gz", "pandas.parquet", "zip"]
    assert xet.find(main) == [f"{main}/{name}" for name in names]


def test_arrow_whose_block_raises(xet: pyxet.XetFS, main: str) -> None:
    table = pa.table({"a": [1]})
    with (
        pytest.raises(Broken),
        pq.ParquetWriter(f"{main}/a", table.schema, filesystem=PyFileSystem(FSSpecHandler(xet))) as writer,
    ):
        writer.write_table(table)
        raise Broken
    assert xet.find(main) == []


def test_transactions_in_a_handler(xet: pyxet.XetFS, main: str) -> None:
    try:
        raise KeyError
    except KeyError:
        with xet.transaction as tr:
            left, closed = xet.open(f"{main}/a", "w"), xet.open(f"{main}/b", "w")
            write(left)
            with closed:
                write(closed)
    assert len(tr.commits) == 1
    with pytest.raises(Broken), xet.transaction:
        with pytest.warns(PyxetWarning, match="c' is discarded"):
            try:
                file = xet.open(f"{main}/c", "w")
                raise KeyError
            except KeyError:
                file.close()
        raise Broken
    assert xet.find(main) == [f"{main}/a", f"{main}/b"]


# -- writes that fail --------------------------------------------------------------------------------------------------


async def test_a_file_with_a_hole_is_not_published(shared_endpoint: LocalEndpoint, main: str) -> None:
    async with asynchronous(shared_endpoint) as fs:
        file = await fs.open_async(f"{main}/a", "wb")
        await file.write(b"first")
        with anyio.move_on_after(0):
            # It is cancelled before it can begin.
            await file.write(b"second")
        with contextlib.suppress(asyncio.CancelledError):
            # More than is taken without waiting.
            task = asyncio.create_task(file.write(bytes(40_000_000)))
            await asyncio.sleep(0)
            task.cancel()
            await task
        await file.write(b"third")
        with pytest.raises(IntegrityError, match="earlier write"):
            await file.close()
        assert await fs._find(main) == []
