"""Worker threads where the system gives no more of them, as in a container with a limit of processes."""

from __future__ import annotations

import asyncio
import threading

import pytest

from pyxet._workers import Workers


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether a thread is refused, for each one to be started, and ``False`` for those after them."""
    answers: list[bool] = []
    start = threading.Thread.start

    def starting(thread: threading.Thread) -> None:
        if thread.name.startswith("test-few") and answers and answers.pop(0):
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", starting)
    return answers


async def test_those_that_are_there_do_the_work_of_those_that_are_refused(refused: list[bool]) -> None:
    workers = Workers(3, "test-few")
    refused += [False, True, True, True]
    go = threading.Event()
    waiting = [asyncio.create_task(workers.run(go.wait)) for _ in range(3)]
    await asyncio.sleep(0)
    assert refused == [True]
    go.set()
    assert await asyncio.gather(*waiting) == [True] * 3


async def test_where_there_is_none_the_next_job_tries_again(refused: list[bool]) -> None:
    workers = Workers(2, "test-few")
    refused += [True, True]
    for _ in range(2):
        with pytest.raises(RuntimeError, match="can't start new thread"):
            await workers.run(str)
    async with asyncio.timeout(30):
        assert await workers.run(str, 5) == "5"
