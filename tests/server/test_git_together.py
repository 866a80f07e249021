"""Pushes and commits through the API at the same time lose nothing, and kill -9 leaves the old head or the new one."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest
from support.gits import Git, checked, git_in, processes_at

import pyxet
from pyxet.testing import local_endpoint

pytestmark = pytest.mark.needs("git endpoint")

REPO = "acme/shared"


def bare(root: Path) -> Path:
    return root / "repos" / "models" / f"{REPO}.git"


# -- at the same time --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("writers", "rounds"), [(4, 2), pytest.param(16, 3, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])]
)
def test_pushers_and_api_writers_lose_nothing(tmp_path: Path, writers: int, rounds: int) -> None:
    with local_endpoint(tmp_path / "root", user="acme") as endpoint:
        url = f"{endpoint.url}/{REPO}"
        pyxet.XetFS(endpoint.url, "acme", endpoint.token).make_repo(REPO)
        clones = [git_in(tmp_path, "acme", endpoint.token).clone(url, f"clone-{n}") for n in range(writers)]
        made: list[str] = []
        failures: list[BaseException] = []

        def push(number: int) -> None:
            git = clones[number]
            for n in range(rounds):
                git.write({f"git/{number}-{n}.txt": f"{number} {n}"}, f"git {number} {n}")
                while git.run("push", "-q", "origin", "main").returncode:
                    git("pull", "-q", "--rebase", "origin", "main")
                made.append(git("rev-parse", "HEAD").strip())

        def commit(number: int) -> None:
            fs = pyxet.XetFS(endpoint.url, "acme", endpoint.token, listings_expiry_time=0, skip_instance_cache=True)
            for n in range(rounds):
                with fs.transaction(message=f"api {number} {n}") as tr:
                    tr.pipe(f"{REPO}/main/api/{number}-{n}.txt", f"{number} {n}".encode())
                made.append(tr.commits[0].id)

        def noting(work: Callable[[int], object], number: int) -> None:
            try:
                work(number)
            except BaseException as error:  # noqa: BLE001  # told by the test
                failures.append(error)

        threads = [
            threading.Thread(target=noting, args=(work, number)) for number in range(writers) for work in (push, commit)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures
        fs = pyxet.XetFS(endpoint.url, "acme", endpoint.token, listings_expiry_time=0, skip_instance_cache=True)
        expected = {
            f"{kind}/{number}-{n}.txt" for kind in ("git", "api") for number in range(writers) for n in range(rounds)
        }
        found = {path.removeprefix(f"{REPO}/main/") for path in fs.find(f"{REPO}/main")}
        assert expected <= found
        # Each commit that somebody was told of is in the history, which is one line.
        history = [commit.id for commit in fs.log(f"{REPO}/main")]
        assert set(made) <= set(history)
        assert len(made) == len(set(made)) == 2 * writers * rounds == len(history) - 1
    checked(bare(tmp_path / "root"))


# -- killed ------------------------------------------------------------------------------------------------------------


class Served:
    """``xet serve`` in a process of its own, which can be killed and started again at its address."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.token = "xet_token"
        self._port = "0"
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pyxet", "serve", "--json", "--root", str(self.root), "--port", self._port,
             "--user", "acme", "--token", self.token],
            stdout=subprocess.PIPE, text=True, cwd=self.root.parent,
        )  # fmt: skip
        out: IO[str] | None = self.process.stdout
        assert out is not None
        self.url = json.loads(out.readline())["url"]
        self._port = self.url.rpartition(":")[2]

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    served = Served(tmp_path / "root")
    try:
        yield served
    finally:
        served.kill()


TRIES = pytest.mark.parametrize("tries", [4, pytest.param(50, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])])


def prepared(served: Served, folder: Path) -> Git:
    """A clone of a new repository, with a branch of many files that nobody has yet."""
    pyxet.XetFS(served.url, "acme", served.token).make_repo(REPO)
    return git_in(folder, "acme", served.token).clone(f"{served.url}/{REPO}", "clone")


def head_of(root: Path) -> str:
    return git_in(root)("-c", "safe.directory=*", "--git-dir", str(bare(root)), "rev-parse", "main").strip()


def long_push(git: Git, number: int, length: float) -> tuple[str, subprocess.Popen[str]]:
    """Commit what takes a push some time, and start to push it."""
    made = git.write({f"{number}/{n}.txt": os.urandom(20_000) for n in range(60)}, f"push {number}")
    pushing = git.start("push", "-q", "origin", "main")
    time.sleep(length)
    return made, pushing


def settled(root: Path, *, clean: bool) -> None:
    """Wait until no process works in a repository any more, and, if that is to be, none has left anything behind."""
    deadline = time.monotonic() + 60
    while True:
        working = processes_at(bare(root))
        left = [path.name for path in (bare(root) / "objects").glob("*incoming*")] if clean else []
        if not working and not left:
            return
        assert time.monotonic() < deadline, f"still working: {working}; left behind: {left}"
        time.sleep(0.02)


@TRIES
def test_a_client_that_is_killed_in_a_push_leaves_the_old_head_or_the_new_one(
    served: Served, tmp_path: Path, tries: int
) -> None:
    git = prepared(served, tmp_path)
    before = head_of(served.root)
    moments = random.Random(5)
    for number in range(tries):
        made, pushing = long_push(git, number, moments.uniform(0.0, 0.4))
        os.killpg(pushing.pid, signal.SIGKILL)
        pushing.communicate()
        settled(served.root, clean=True)
        assert head_of(served.root) in (before, made)
        git("push", "-q", "origin", "main")
        before = made
        assert head_of(served.root) == made
    checked(bare(served.root))


@TRIES
def test_an_endpoint_that_is_killed_in_a_push_leaves_the_old_head_or_the_new_one(
    served: Served, tmp_path: Path, tries: int
) -> None:
    git = prepared(served, tmp_path)
    before = head_of(served.root)
    moments = random.Random(6)
    for number in range(tries):
        made, pushing = long_push(git, number, moments.uniform(0.0, 0.4))
        served.kill()
        pushing.communicate()
        # Git's own processes notice, and end. What they had collected may stay, apart from the repository's objects.
        settled(served.root, clean=False)
        head = head_of(served.root)
        assert head in (before, made)
        assert pushing.returncode or head == made
        checked(bare(served.root))
        served.start()
        git("push", "-q", "origin", "main")
        before = made
        assert head_of(served.root) == made
        fs = pyxet.XetFS(served.url, "acme", served.token, skip_instance_cache=True)
        assert len(fs.find(f"{REPO}/main/{number}")) == 60
