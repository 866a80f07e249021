"""Nested transactions in generators that are left in the middle: the outer block's end is its own."""

# ruff: noqa: PT012  # what has to raise is the end of a block

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator

import pytest
from support.history import messages
from support.proxied import asynchronous

import pyxet
from pyxet.errors import PyxetWarning, TransactionError
from pyxet.testing import LocalEndpoint


def rows(fs: pyxet.XetFS, main: str) -> Generator[int, None, None]:
    with fs.transaction:
        fs.pipe(f"{main}/rows.txt", b"1")
        yield 1
        yield 2


def test_a_generator_that_is_left_open_ends_neither_block(xet: pyxet.XetFS, main: str) -> None:
    left = rows(xet, main)
    with pytest.raises(TransactionError, match="nested in this one is still open"), xet.transaction as tr:
        next(left)
        xet.pipe(f"{main}/mine.txt", b"1")
    assert not tr.active
    assert not xet.exists(f"{main}/mine.txt")
    left.close()
    xet.pipe(f"{main}/after.txt", b"1")
    assert len(messages(xet, main)) == 1


def test_a_generator_that_is_closed_in_time_undoes_its_own_block_alone(xet: pyxet.XetFS, main: str) -> None:
    with xet.transaction as tr:
        left = rows(xet, main)
        next(left)
        with pytest.warns(PyxetWarning, match="generator"):
            left.close()
        assert xet.transaction == tr
        xet.pipe(f"{main}/mine.txt", b"1")
    assert len(tr.commits) == 1
    assert xet.exists(f"{main}/mine.txt")
    assert not xet.exists(f"{main}/rows.txt")


def test_an_asynchronous_generator_that_is_left_open_ends_neither_block(
    shared_endpoint: LocalEndpoint, main: str
) -> None:
    async def run() -> None:
        fs = asynchronous(shared_endpoint)

        async def pieces() -> AsyncGenerator[int, None]:
            async with fs.transaction:
                await fs._pipe_file(f"{main}/rows.txt", b"1")
                yield 1

        left = pieces()
        with pytest.raises(TransactionError, match="nested in this one is still open"):
            async with fs.transaction as tr:
                await anext(left)
                await fs._pipe_file(f"{main}/mine.txt", b"1")
        assert not tr.active
        await left.aclose()
        assert not await fs._exists(f"{main}/mine.txt")

    asyncio.run(run())


def test_blocks_of_one_object_end_in_their_order(xet: pyxet.XetFS, main: str) -> None:
    with xet.transaction as tr:
        with tr as first, first as second:
            assert second != first
            xet.pipe(f"{main}/a.txt", b"1")
        again = xet.transaction
        assert again == tr
        assert hash(again) == hash(tr)
        del again
        with xet.transaction as third:
            assert xet.transaction == third != tr
        assert tr.active
    assert len(tr.commits) == 1
