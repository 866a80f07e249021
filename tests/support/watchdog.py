"""A test that hangs is ended: the stacks of all threads are written, and the process that runs the test exits.

pytest-timeout raises an exception in the main thread, once for each test, and not at all after a failure. So it does not end
a test that hangs in the teardown of its fixtures, or in code that catches the exception, and the run would hang without any
output. Here a C thread of `faulthandler` writes the stacks and exits, for which no Python code has to run.

A forked child does not have that thread, and an interpreter that ends there in the usual way would wait for it: children that
tests fork end by ``os._exit``, as those of multiprocessing do.
"""

from __future__ import annotations

import faulthandler
import os
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager

import pytest

# Seconds by which a phase of a test may exceed the time-out of pytest-timeout.
GRACE = 60


class Watchdog:
    """A plugin that ends the process if setup, call or teardown of a test hang; xdist reports the test."""

    def __init__(self, config: pytest.Config) -> None:
        self._allowed = float(config.getoption("timeout", None) or config.getini("timeout") or 0)
        # Keep the present standard error: while tests run, pytest captures it.
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
