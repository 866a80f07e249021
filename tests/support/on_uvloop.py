"""Runs only the asynchronous tests, and on uvloop: ``pytest -p support.on_uvloop``, with ``tests`` on the path."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop
from pytest_asyncio import is_async_test


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    config.hook.pytest_deselected(items=[item for item in items if not is_async_test(item)])
    items[:] = [item for item in items if is_async_test(item)]
