"""A test that hangs for good is told: each thread's stack is written, and the process that runs the test ends.

pytest-timeout raises an exception in the main thread, once for each test, and not at all after a failure. So it does not end a
test that hangs while its fixtures are undone, or in code that takes the exception for something else. The run would then
say nothing until whoever waits for it loses patience. Here nothing of Python has to run: a thread of C writes and ends.
"""

from __future__ import annotations

import faulthandler
import os
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager

import pytest

# Seconds for which a phase of a test may take longer than pytest-timeout allows it.
GRACE = 60


class Watchdog:
    """A plugin that ends the process if the set-up, the call or the end of a test takes far too long; xdist tells which test."""

    def __init__(self, config: pytest.Config) -> None:
        self._allowed = float(config.getoption("timeout", None) or config.getini("timeout") or 0)
        # While tests run, their own error output is in the place of this one.
        assert sys.__stderr__ is not None
        self._output = os.dup(sys.__stderr__.fileno())

    def pytest_unconfigure(self) -> None:
        os.close(self._output)

    @contextmanager
    def _watched(self, item: pytest.Item) -> Iterator[None]:
        own = item.get_closest_marker("timeout")
        allowed = float(own.args[0]) if own is not None else self._allowed
        if allowed:
            faulthandler.dump_traceback_later(allowed + GRACE, exit=True, file=self._output)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, None, None]:
        with self._watched(item):
            return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, None, None]:
        with self._watched(item):
            return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, None, None]:
        with self._watched(item):
            return (yield)
