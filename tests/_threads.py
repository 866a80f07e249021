"""Jobs on threads of their own, which know of nothing that a test began on its thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def on_thread(job: Callable[[], Any]) -> Any:
    """Run a job on a thread that knows of no transaction."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(job).result()


def on_another_loop(job: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Run a coroutine on a loop of its own, on such a thread."""
    return on_thread(lambda: asyncio.run(job()))
