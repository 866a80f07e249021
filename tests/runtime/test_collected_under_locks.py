"""The garbage collector may run anywhere, also while a thread holds a lock. What it ends there may need the same lock."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pyxet import XetFS, config, on_request
from pyxet._async import client as clients
from pyxet._async.download import leftovers
from pyxet._async.runtime import threads
from pyxet._async.tree.revisions import Revisions
from pyxet._async.upload.buffers import Buffers
from pyxet._async.upload.flow import Flow
from pyxet._async.upload.local_content import LocalContent
from pyxet._async.upload.reservation import Reservation
from pyxet._workers import Workers
from pyxet.types import RepoId
from pyxet.watching import REQUESTS

_REPO = RepoId("models", "test", "r")


def _ends(work: Callable[[], object]) -> bool:
    """Whether work ends, on a thread of its own, as a thread that waits for itself never does."""
    ended = threading.Event()

    def run() -> None:
        work()
        ended.set()

    threading.Thread(target=run, daemon=True).start()
    return ended.wait(20)


def _end(coroutine: Coroutine[Any, Any, object]) -> None:
    """Run a coroutine that has nothing to wait for, without a loop, as the collector does when it ends one."""
    with pytest.raises(StopIteration):
        coroutine.send(None)


def _hooked() -> Iterator[None]:
    with on_request(print):
        yield


def _changing(revisions: Revisions) -> Iterator[None]:
    with revisions.changing(_REPO):
        yield


def _closed(generator: Iterator[None]) -> None:
    next(generator)
    generator.close()  # type: ignore[attr-defined]  # it is a generator


async def test_what_is_collected_takes_a_lock_that_its_thread_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    revisions = Revisions(None)  # type: ignore[arg-type]  # asks nothing
    session: Any = SimpleNamespace(packer=None, reservation=Reservation(1))
    flow = Flow(session, "0" * 64)
    content = LocalContent(tmp_path / "none", flow, session.reservation, Buffers(1), print)
    content._ended.set_result(None)
    stage: threads.Stage[int] = threads.Stage()
    monkeypatch.setattr("pyxet.config._logins", {})
    monkeypatch.setattr("pyxet.config._login_host", None)
    held: list[tuple[Any, Callable[[], object]]] = [
        (threads._lock, lambda: threads.post(int)),
        (threads._pool()._lock, lambda: Workers.post(threads._pool(), int)),
        (stage._lock, lambda: stage.put(1, str)),
        (flow._lock, lambda: _end(flow.stop())),
        (content._lock, lambda: _end(content._stop())),
        (revisions._lock, lambda: _closed(_changing(revisions))),
        (clients._lock, lambda: XetFS("http://127.0.0.1:9", token="x")._client()),
        (REQUESTS._lock, lambda: _closed(_hooked())),
        (leftovers._lock, lambda: leftovers.note(tmp_path, ".a.", tmp_path / "a")),
        (config._login_lock, lambda: config.login("test", "x", host="http://127.0.0.1:9")),
    ]

    def all_of_them() -> None:
        for lock, work in held:
            with lock:
                work()

    assert await asyncio.to_thread(_ends, all_of_them)


def test_a_new_thread_may_post_work_before_it_is_told_to_be_running(monkeypatch: pytest.MonkeyPatch) -> None:
    """Starting a thread waits until it runs, and what is collected on the new thread may post work before that."""
    workers = Workers(2, "test-collected")
    done = [threading.Event(), threading.Event()]
    start = threading.Thread.start
    posted: list[str] = []

    def starting(thread: threading.Thread) -> None:
        if thread.name.startswith("test-collected") and not posted:
            posted.append(thread.name)
            assert _ends(lambda: workers.post(done[0].set))
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", starting)
    workers.post(done[1].set)
    assert posted == ["test-collected-1"]
    assert all(event.wait(30) for event in done)
    workers.post(int)
    assert {thread.name for thread in threading.enumerate() if thread.name.startswith("test-collected")} == {
        "test-collected-1",
        "test-collected-2",
    }


def test_what_is_collected_changes_the_hooks_while_one_is_added() -> None:
    ends = _hooked()
    next(ends)
    before, to_end = REQUESTS.all, [ends]

    class Ends(tuple[Any, ...]):
        """The hooks, of which one ends while the others are copied."""

        def __iter__(self) -> Iterator[Any]:
            while to_end:
                to_end.pop().close()  # type: ignore[attr-defined]  # it is a generator
            return super().__iter__()

    try:
        REQUESTS.all = Ends(before)
        with on_request(str) as hook:
            assert REQUESTS.all == (*before[:-1], hook)
    finally:
        REQUESTS.all = before[:-1]
