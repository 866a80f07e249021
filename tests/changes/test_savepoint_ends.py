"""Transactions that end in another order than they nest: nothing half done is committed, and whoever goes on is told."""

# ruff: noqa: PT012, SIM117  # what has to raise is the end of a block, and which block is the point

from __future__ import annotations

import asyncio

import pytest
from support.blocks import Failure
from support.proxied import asynchronous

import pyxet
from pyxet.errors import (
    TransactionError,
)
from pyxet.testing import LocalEndpoint

pytestmark = pytest.mark.usefixtures("nothing_left_behind")


def test_an_outer_one_that_ends_first_commits_nothing(xet: pyxet.XetFS, main: str) -> None:
    with pytest.raises(TransactionError, match="nested in this one is still open"), xet.transaction as tr:
        xet.pipe(f"{main}/a.txt", b"a")
        inner = xet.start_transaction()
        xet.pipe(f"{main}/b.txt", b"b")
        file = xet.open(f"{main}/c.txt", "w")
        file.write("c")
        bound = inner.fs
    assert not tr.active
    assert not inner.active
    assert file.closed
    for call in (
        inner.complete,
        lambda: inner.fs,
        lambda: bound.pipe(f"{main}/late.txt", b"late"),
        lambda: inner.pipe(f"{main}/late.txt", b"late"),
        lambda: inner.__enter__(),
        lambda: tr.complete(),
    ):
        with pytest.raises(TransactionError, match="ended"):
            call()
    with pytest.raises(TransactionError, match="no transaction is open"):
        xet.end_transaction()
    assert xet.find(main) == []


def test_a_block_whose_outer_one_ended_is_told(xet: pyxet.XetFS, main: str) -> None:
    tr = xet.start_transaction()
    with pytest.raises(TransactionError, match="nested in has ended, and this one with it"):
        with xet.transaction(message="inner"):
            xet.pipe(f"{main}/a.txt", b"a")
            tr.complete(commit=False)
    # What the block itself raises says more.
    tr = xet.start_transaction()
    with pytest.raises(Failure):
        with xet.transaction(message="inner"):
            tr.complete(commit=False)
            raise Failure
    assert xet.find(main) == []


def test_ended_twice(xet: pyxet.XetFS, main: str) -> None:
    with xet.transaction:
        inner = xet.start_transaction()
        xet.pipe(f"{main}/a.txt", b"a")
        inner.complete()
        with pytest.raises(TransactionError, match="ended"):
            inner.complete()
        with pytest.raises(TransactionError, match="ended"):
            inner.complete(commit=False)
        with pytest.raises(TransactionError, match="ended"):
            with inner:
                pass
    assert xet.find(main) == [f"{main}/a.txt"]


def test_a_made_one_that_begins_after_its_outer_one_ended(xet: pyxet.XetFS, main: str) -> None:
    with xet.transaction:
        made, bound = xet.transaction(message="late"), xet.transaction.fs
        direct = pyxet.Transaction(bound)
    for late in (made, direct):
        with pytest.raises(TransactionError, match="ended"), late:
            pass


async def test_a_task_that_goes_on_after_its_block_was_undone(shared_endpoint: LocalEndpoint, main: str) -> None:
    async with asynchronous(shared_endpoint) as fs:
        undone = asyncio.Event()

        async def late(name: str) -> None:
            await undone.wait()
            await fs._pipe_file(f"{main}/{name}", b"late")

        async with fs.transaction:
            async with fs.transaction:
                kept = asyncio.create_task(late("kept"))
                await fs._pipe_file(f"{main}/a", b"a")
            with pytest.raises(Failure):
                async with fs.transaction:
                    task = asyncio.create_task(late("undone"))
                    raise Failure
            undone.set()
            with pytest.raises(TransactionError, match="was rolled back"):
                await task
            # That of a block which was kept is in what the block is a part of.
            await kept
            await fs._pipe_file(f"{main}/b", b"b")
        assert await fs._find(main) == [f"{main}/a", f"{main}/b", f"{main}/kept"]


async def test_a_task_that_is_not_awaited_keeps_the_outer_one_from_ending(
    shared_endpoint: LocalEndpoint, main: str
) -> None:
    async with asynchronous(shared_endpoint) as fs:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def job() -> None:
            async with fs.transaction:
                await fs._pipe_file(f"{main}/half", b"half")
                begun.set()
                await go_on.wait()

        with pytest.raises(TransactionError, match="still open"):
            async with fs.transaction:
                task = asyncio.create_task(job())
                await begun.wait()
        go_on.set()
        with pytest.raises(TransactionError, match="nested in has ended"):
            await task
        assert await fs._find(main) == []
