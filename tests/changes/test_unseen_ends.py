"""Ends that reach nobody: generators that are closed before their end, files that nobody commits, tasks that outlive."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from support.proxied import asynchronous

import pyxet
from pyxet.errors import PyxetWarning
from pyxet.testing import LocalEndpoint

pytestmark = pytest.mark.usefixtures("nothing_left_behind")


@pytest.fixture
def said() -> Iterator[list[str]]:
    """The messages of the warnings that were given so far."""
    messages: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("always", PyxetWarning)
        show = warnings.showwarning
        warnings.showwarning = lambda message, *_, **__: messages.append(str(message))
        yield messages
        warnings.showwarning = show


# -- generators that are not run to their end ---------------------------------------------------------------------------


def through_stack(xet: pyxet.XetFS, path: str) -> Iterator[None]:
    with ExitStack() as stack:
        stack.enter_context(xet.open(path, "wb")).write(b"half")
        yield


def through_wrapper(xet: pyxet.XetFS, path: str) -> Iterator[None]:
    with xet.open(path, "w", compression="gzip") as file:
        file.write("half")
        yield


def through_text(xet: pyxet.XetFS, path: str) -> Iterator[None]:
    with xet.open(path, "w") as file:
        file.write("half")
        yield


def through_transaction(xet: pyxet.XetFS, path: str) -> Iterator[None]:
    with xet.transaction:
        xet.pipe_file(path, b"half")
        yield


def through_delegation(xet: pyxet.XetFS, path: str) -> Iterator[None]:
    yield from through_text(xet, path)


WRITERS = [through_stack, through_wrapper, through_text, through_transaction, through_delegation]


@pytest.mark.parametrize("dropped", [False, True])
@pytest.mark.parametrize("writer", WRITERS)
def test_a_generator_that_is_closed_early(
    xet: pyxet.XetFS, main: str, writer: Callable[..., Any], dropped: bool, said: list[str]
) -> None:
    rows = writer(xet, f"{main}/a")
    next(rows)
    if not dropped:
        rows.close()
    del rows
    gc.collect()
    assert len(said) == 1
    assert "generator" in said[0]
    assert not xet.exists(f"{main}/a")


@pytest.mark.parametrize("writer", WRITERS)
def test_a_generator_that_is_run_to_its_end(
    xet: pyxet.XetFS, main: str, writer: Callable[..., Any], said: list[str]
) -> None:
    assert list(writer(xet, f"{main}/a")) == [None]
    assert said == []
    assert xet.exists(f"{main}/a")


async def test_an_asynchronous_generator(shared_endpoint: LocalEndpoint, main: str, said: list[str]) -> None:
    async with asynchronous(shared_endpoint) as fs:

        async def rows() -> AsyncIterator[None]:
            async with await fs.open_async(f"{main}/a", "wb") as file:
                await file.write(b"half")
                yield

        async def changes() -> AsyncIterator[None]:
            async with fs.transaction:
                await fs._pipe_file(f"{main}/b", b"half")
                yield

        for made in (rows(), changes()):
            await anext(made)
            await made.aclose()  # type: ignore[attr-defined]
        assert [message.partition(" is ")[2].split(":")[0] for message in said] == ["discarded", "rolled back"]
        assert await fs._find(main) == []


# -- files that are closed and never committed ---------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["wb", "w", "ab"])
@pytest.mark.parametrize("committed", [False, True])
def test_a_file_that_nobody_commits(xet: pyxet.XetFS, main: str, mode: str, committed: bool, said: list[str]) -> None:
    with xet.transaction:
        file = xet.open(f"{main}/a", mode, autocommit=False)
        file.write("x" if mode == "w" else b"x")
        file.close()
        if committed:
            (file.buffer if mode == "w" else file).commit()
        xet.pipe_file(f"{main}/b", b"y")
    assert xet.exists(f"{main}/a") is committed
    assert [f"{main}/a" in message and "never committed" in message for message in said] == [True] * (not committed)


def test_a_file_that_was_discarded_is_not_missed(xet: pyxet.XetFS, main: str, said: list[str]) -> None:
    with xet.transaction:
        file = xet.open(f"{main}/a", "wb", autocommit=False)
        file.close()
        file.discard()
    with pytest.raises(KeyError), xet.transaction:  # noqa: PT012
        xet.open(f"{main}/a", "wb", autocommit=False).close()
        raise KeyError
    assert said == []


# -- what lives on after the transaction that it was started in ----------------------------------------------------------


@pytest.mark.parametrize(
    "write",
    [
        lambda fs, path: fs.pipe_file(f"{path}/late", b"x"),
        lambda fs, path: fs.open(f"{path}/late", "wb").close(),
        lambda fs, path: fs.mv(f"{path}/there", f"{path}/late"),
        lambda fs, path: fs.commit(path, fs.stage_many({f"{path}/late": b"x"})),
    ],
)
@pytest.mark.parametrize("fails", [False, True])
def test_a_context_outlives_its_transaction(
    xet: pyxet.XetFS, main: str, write: Callable[[pyxet.XetFS, str], Any], fails: bool, said: list[str]
) -> None:
    xet.pipe_file(f"{main}/there", b"x")
    try:
        with xet.transaction:
            context = contextvars.copy_context()
            if fails:
                raise KeyError
    except KeyError:
        pass
    gc.collect()
    context.run(write, xet, main)
    context.run(xet.pipe_file, f"{main}/again", b"x")
    assert xet.exists(f"{main}/late")
    assert len(said) == 1
    assert "after the end of the transaction" in said[0]


async def test_a_task_outlives_its_transaction(shared_endpoint: LocalEndpoint, main: str, said: list[str]) -> None:
    async with asynchronous(shared_endpoint) as fs:
        ended = asyncio.Event()

        async def work() -> None:
            await ended.wait()
            await fs._pipe_file(f"{main}/late", b"x")

        async with fs.transaction:
            task = asyncio.create_task(work())
        ended.set()
        await task
        assert len(said) == 1
        # Those that began outside, or begin one of their own, are fine.
        await fs._pipe_file(f"{main}/outside", b"x")
        assert len(said) == 1


def test_a_transaction_of_its_own_is_one(xet: pyxet.XetFS, main: str, said: list[str]) -> None:
    with xet.transaction:
        context = contextvars.copy_context()

    def work() -> None:
        with xet.transaction:
            xet.pipe_file(f"{main}/a", b"x")

    context.run(work)
    xet.pipe_file(f"{main}/b", b"x")
    assert said == []
