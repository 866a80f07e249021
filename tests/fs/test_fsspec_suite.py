"""fsspec's own suites for copy, get, put, pipe and open."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fsspec.tests.abstract import (
    AbstractCopyTests,
    AbstractFixtures,
    AbstractGetTests,
    AbstractOpenTests,
    AbstractPipeTests,
    AbstractPutTests,
)

import pyxet

# What the suites want to do nothing, a folder without ``recursive``, does so with a warning.
pytestmark = pytest.mark.filterwarnings("ignore:nothing was:pyxet.PyxetWarning")


class XetFixtures(AbstractFixtures):
    @pytest.fixture
    def fs(self, xet: pyxet.XetFS) -> pyxet.XetFS:
        return xet

    @pytest.fixture
    def fs_path(self, main: str) -> str:
        return main

    @pytest.fixture
    def fs_join(self) -> Callable[..., str]:
        return lambda *parts: "/".join(parts)

    @pytest.fixture
    def supports_empty_directories(self) -> bool:
        # Git keeps files; a folder is there while a file is in it.
        return False


class TestCopy(AbstractCopyTests, XetFixtures):
    pass


class TestGet(AbstractGetTests, XetFixtures):
    pass


class TestPut(AbstractPutTests, XetFixtures):
    pass


class TestPipe(AbstractPipeTests, XetFixtures):
    pass


class TestOpen(AbstractOpenTests, XetFixtures):
    pass
