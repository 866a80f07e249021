"""What nested transactions cost that are many levels deep, counted in the lines of Python that run."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from types import FrameType
from typing import Any

import pytest

import pyxet
from pyxet._async.changes import pending
from pyxet._async.changes.pending import Pending, PendingChanges, Scope

pytestmark = pytest.mark.usefixtures("nothing_left_behind")


def lines_of(function: Callable[[], object]) -> int:
    """How many lines of the package of changes this thread runs in a function."""
    count = 0
    package = pending.__file__.removesuffix("pending.py")

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace if frame.f_code.co_filename.startswith(package) else None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(before)
    return count


def test_a_block_inside_many_others_costs_no_more_than_looking_at_each(xet: pyxet.XetFS) -> None:
    def nest(levels: int) -> None:
        with ExitStack() as blocks:
            for _ in range(levels):
                blocks.enter_context(xet.transaction)

    few, many = lines_of(lambda: nest(20)), lines_of(lambda: nest(80))

    # 16 times as many, if each of them looks at those around it; 64 times if it looks at what is around each of those.
    assert many < 20 * few


def test_a_write_inside_many_others_of_the_same_path_compares_pairs_of_them(xet: pyxet.XetFS) -> None:
    def nest(levels: int) -> None:
        changes = PendingChanges("acme/r/main")
        scope = changes.all
        for number in range(levels):
            scope = Scope(scope)
            changes.put("a", Pending(1, b"%d" % (number % 10)), scope=scope)

    few, many = lines_of(lambda: nest(10)), lines_of(lambda: nest(40))

    # About 30 times as many, if two of them are compared at once; 80 times if each comparison goes through those between.
    assert many < 40 * few
