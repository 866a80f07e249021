"""A test that hangs for good is told: each thread's stack is written, and the process that runs the test ends.

pytest-timeout raises an exception in the main thread, once for each test, and not at all after a failure. So it does not end a
test that hangs while its fixtures are undone, or in code that takes the exception for something else. The run would then
say nothing until whoever waits for it loses patience. Here nothing of Python has to run: a thread of C writes and ends.
"""

from __future__ import annotations

import faulthandler
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

# Seconds for which a phase of a test may take longer than pytest-timeout allows it.
GRACE = 60
_STDERR = pytest.StashKey[int]()


def watch(config: pytest.Config) -> None:
    """Keep the error output as it is now: while tests run, theirs is in its place."""
    assert sys.__stderr__ is not None
    config.stash[_STDERR] = os.dup(sys.__stderr__.fileno())


def leave(config: pytest.Config) -> None:
    """Give the kept output back."""
    os.close(config.stash[_STDERR])


@contextmanager
def watched(item: pytest.Item) -> Iterator[None]:
    """End the process if the set-up, the call or the end of a test takes far too long; xdist tells which test it was."""
    own = item.get_closest_marker("timeout")
    allowed = float(
        own.args[0] if own else item.config.getoption("timeout", None) or item.config.getini("timeout") or 0
    )
    if not allowed:
        yield
        return
    faulthandler.dump_traceback_later(allowed + GRACE, exit=True, file=item.config.stash[_STDERR])
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
