"""Memory that is used again: never while anybody can see it."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest
from support.contents import content
from support.faults import MIB, world

from pyxet._async.download.reconstruct import WINDOW, Downloader
from pyxet._async.runtime.budget import READ_MEMORY
from pyxet._async.runtime.memory import STRETCH, STRETCHES, Stretches


def place(view: memoryview) -> int:
    """Which stretch a view is of."""
    return id(view.obj)


def test_what_nobody_has_is_used_again() -> None:
    stretches = Stretches()
    first = stretches.take()
    before = place(first)
    assert place(stretches.take()) != before
    del first
    again = stretches.take(STRETCH - 1)
    assert place(again) == before
    assert len(again) == STRETCH - 1


@pytest.mark.parametrize("kept", ["slice", "readonly", "cast", "bytes of bytes"])
def test_what_somebody_has_in_any_form_is_not(kept: str) -> None:
    stretches = Stretches()
    memory = stretches.take()
    memory[:] = b"a" * len(memory)
    view = {
        "slice": lambda: memory[100:101],
        "readonly": lambda: memory.toreadonly()[5:],
        "cast": lambda: memory.cast("I")[:1],
        "bytes of bytes": lambda: memoryview(memory[1:])[1:],
    }[kept]()
    before = place(memory)
    memory.release()
    others = [stretches.take() for _ in range(20)]
    assert before not in map(place, others)
    for other in others:
        other[:] = b"b" * len(other)
    assert set(bytes(view)) == {ord("a")}


def test_no_more_than_a_few_are_kept_that_nobody_has() -> None:
    stretches = Stretches()
    views = [stretches.take() for _ in range(100)]
    kept = views[50]
    del views
    stretches.take()
    assert len(stretches._known) <= 10
    kept[:] = b"a" * len(kept)
    others = [stretches.take() for _ in range(100)]
    assert place(kept) not in map(place, others)
    stretches.let_go()
    assert not stretches._known


def test_as_many_are_kept_as_are_in_use() -> None:
    """Windows come and go whole: what the last one leaves is what the next ones take, and new memory is slow."""
    stretches = Stretches()
    windows = [[stretches.take() for _ in range(12)] for _ in range(4)]
    known = {place(view) for window in windows for view in window}
    for _ in range(10):
        windows.pop(0)
        windows.append([stretches.take() for _ in range(12)])
        assert {place(view) for view in windows[-1]} <= known
    assert len(stretches._known) == len(known)


def test_memory_stays_for_those_who_read_on(monkeypatch: pytest.MonkeyPatch) -> None:
    stretches = Stretches()
    reading = [True]
    monkeypatch.setattr(stretches, "is_wanted", lambda: reading[0])
    views = [stretches.take() for _ in range(20)]
    del views
    stretches.rest()
    assert 0 < len(stretches._known) <= 10
    reading.clear()
    reading.append(False)
    stretches.rest()
    assert not stretches._known


def test_windows_that_wait_for_their_reader_do_not_keep_what_others_used() -> None:
    """A stream that stands still holds its windows for any time, while a burst of other reads comes and goes."""
    assert READ_MEMORY.try_acquire(2, READ_MEMORY.limit)
    views = [STRETCHES.take() for _ in range(50)]
    waiting = views[-1]
    READ_MEMORY.mark_idle(1)
    del views
    READ_MEMORY.release(1)
    assert READ_MEMORY.in_use == READ_MEMORY.idle == 1
    assert 0 < len(STRETCHES._known) <= 10
    READ_MEMORY.mark_idle(-1)
    READ_MEMORY.release(1)
    assert not STRETCHES._known
    assert len(waiting) == STRETCH


def test_small_ones_are_not_kept() -> None:
    stretches = Stretches()
    assert len(stretches.take(100)) == 100
    assert not stretches._known


async def test_lent_pieces_stay_as_they_were_while_others_read() -> None:
    """Consumers keep pieces for as long as they like; nothing that is read later may come into them."""
    async with world() as it:
        data, other = content(161, WINDOW + MIB), content(162, WINDOW + 3 * MIB)
        file, second = await it.store(data), await it.store(other, "b.bin")
        reader = Downloader(it.client)
        async with aclosing(reader.stream(file)) as pieces:
            kept = [piece async for piece in pieces]
        found = await asyncio.gather(*(reader.read(second) for _ in range(2)))
        assert found == [other] * 2
        assert b"".join(kept) == data
    # Nobody reads any more, so nothing is kept.
    assert not STRETCHES._known
