"""What most tests stand on: one local endpoint for the run, and a fresh repository for each test."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from _cli import Cli

import pyxet
from pyxet.testing import LocalEndpoint, local_endpoint


@pytest.fixture(autouse=True)
def no_configuration_of_this_machine(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No endpoint, user or token from the environment or the home of whoever runs the tests."""
    for name in (
        "XET_ENDPOINT",
        "XET_USER_NAME",
        "XET_USER_TOKEN",
        "HF_ENDPOINT",
        "HF_TOKEN",
        "HF_HOME",
        "HF_TOKEN_PATH",
        "XDG_CACHE_HOME",
        "XDG_CONFIG_HOME",
        "XDG_DATA_HOME",
        "NO_COLOR",
    ):
        monkeypatch.delenv(name, raising=False)
    # Processes that tests start import what is installed, wherever they run.
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    monkeypatch.setenv("HOME", str(tmp_path_factory.getbasetemp() / "home"))


@pytest.fixture(scope="session")
def shared_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalEndpoint]:
    """A local endpoint for all tests that leave it as they find it."""
    root: Path = tmp_path_factory.mktemp("endpoint")
    with local_endpoint(root=root, user="acme") as running:
        yield running


@pytest.fixture
def xet(shared_endpoint: LocalEndpoint) -> pyxet.XetFS:
    """A blocking file system on the shared endpoint."""
    return pyxet.XetFS(endpoint=shared_endpoint.url, user=shared_endpoint.user, token=shared_endpoint.token)


@pytest.fixture
def repo(xet: pyxet.XetFS) -> str:
    """A new repository with nothing in it."""
    name = f"acme/{uuid.uuid4().hex[:12]}"
    xet.make_repo(name)
    return name


@pytest.fixture
def main(repo: str) -> str:
    """The main branch of a new repository."""
    return f"{repo}/main"


@pytest.fixture
def cli(shared_endpoint: LocalEndpoint, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """The ``xet`` command on the shared endpoint, run in an empty folder, with an empty home."""
    return Cli(shared_endpoint, tmp_path, {"HOME": str(tmp_path_factory.mktemp("home"))})
