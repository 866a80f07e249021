"""What pushes that end early leave among a repository's objects is removed, and nothing that a push still needs."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.gits import bare, git_in, processes_at
from support.http import connect

import pyxet
from pyxet.server import git_quarantine
from pyxet.server.git_quarantine import Quarantines
from pyxet.testing import LocalEndpoint, local_endpoint

NAME = "tmp_objdir-incoming-AbC123"


def wait(until: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def leave_behind(objects: Path, name: str = NAME) -> Path:
    folder = objects / name
    (folder / "ab").mkdir(parents=True)
    (folder / "ab" / "cdef").write_bytes(b"half an object")
    return folder


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[LocalEndpoint]:
    with local_endpoint(tmp_path / "root", user="acme") as running:
        yield running


@pytest.mark.needs("git endpoint")
def test_after_the_last_push_nothing_is_left(endpoint: LocalEndpoint, tmp_path: Path) -> None:
    pyxet.XetFS(endpoint.url, "acme", endpoint.token).make_repo("acme/r")
    git = git_in(tmp_path, "acme", endpoint.token).clone(f"{endpoint.url}/acme/r", "clone")
    git.write({"a": b"a"}, "a")
    repo = bare(endpoint, "acme/r")
    left = leave_behind(repo / "objects")
    with connect(endpoint) as other:
        other.sendall(
            b"POST /acme/r.git/git-receive-pack HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n"
            b"Content-Type: application/x-git-receive-pack-request\r\n"
            b"Authorization: Bearer " + endpoint.token.encode() + b"\r\n\r\n00a0"
        )
        wait(lambda: processes_at(repo))
        git("push", "-q", "origin", "main")
        # The other push has not ended yet; it could be its own.
        assert left.exists()
    wait(lambda: not left.exists())
    assert git("ls-remote", "origin", "main").split()[0] == git("rev-parse", "HEAD").strip()


async def in_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    return await asyncio.to_thread(function, *arguments)


async def test_what_comes_back_is_removed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child process of git may still be writing."""
    remove, comes_back = git_quarantine.remove_tree, [leave_behind, leave_behind]

    def removed(folder: str, *, ignore_errors: bool) -> None:
        remove(folder, ignore_errors=ignore_errors)
        if comes_back:
            comes_back.pop()(tmp_path)

    monkeypatch.setattr(git_quarantine, "remove_tree", removed)
    leave_behind(tmp_path)
    kept = leave_behind(tmp_path, "tmp_objdir-other-AbC123")
    async with Quarantines().receiving(tmp_path, in_thread):
        assert (tmp_path / NAME).exists()
    assert os.listdir(tmp_path) == [kept.name]


async def test_a_push_that_begins_meanwhile_waits_for_the_removal(tmp_path: Path) -> None:
    quarantines = Quarantines()
    removing, go_on = asyncio.Event(), asyncio.Event()

    async def slowly(function: Callable[..., Any], *arguments: Any) -> None:
        removing.set()
        await go_on.wait()
        function(*arguments)

    async def push() -> None:
        async with quarantines.receiving(tmp_path, slowly):
            leave_behind(tmp_path, f"incoming-{len(os.listdir(tmp_path))}")

    first = asyncio.create_task(push())
    await removing.wait()
    second = asyncio.create_task(push())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    assert os.listdir(tmp_path) == ["incoming-0"]
    # Who is cancelled waits as well, and leaves no task behind.
    assert not first.done()
    go_on.set()
    await asyncio.wait([first, second])
    assert first.cancelled()
    assert os.listdir(tmp_path) == []
    assert not quarantines._places


async def test_a_repository_that_is_gone_is_no_error(tmp_path: Path) -> None:
    quarantines = Quarantines()
    async with quarantines.receiving(tmp_path / "gone", in_thread):
        pass
    assert not quarantines._places
