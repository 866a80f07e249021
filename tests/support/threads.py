"""Jobs on threads of their own, which have no context variables, such as transactions, of the test's thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any


def on_thread(job: Callable[[], Any]) -> Any:
    """Run a job on a thread without an open transaction."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(job).result()


def on_another_loop(job: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Run a coroutine on an event loop of its own, on such a thread."""
    return on_thread(lambda: asyncio.run(job()))


@contextmanager
def held_by_a_thread(*locks: AbstractContextManager[Any]) -> Iterator[None]:
    """Let another thread hold some locks for the length of a block."""
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with ExitStack() as stack:
            for lock in locks:
                stack.enter_context(lock)
            held.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    try:
        yield
    finally:
        done.set()
        thread.join()
