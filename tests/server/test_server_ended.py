"""What is left of an endpoint that has ended: nothing, however many there were in a process."""

from __future__ import annotations

import gc
import weakref
from typing import NoReturn

import pytest
from support.children import in_child
from support.contents import content

import pyxet
from pyxet.testing import local_endpoint


def test_nothing_of_an_endpoint_stays_in_memory() -> None:
    with local_endpoint(user="acme") as running:
        fs = pyxet.XetFS(running.url, running.user, running.token, skip_instance_cache=True)
        fs.make_repo("acme/ended")
        fs.pipe("acme/ended/main/a.bin", content(170, 300_000))
        assert len(fs.cat_file("acme/ended/main/a.bin")) == 300_000
        app = weakref.ref(running.start().app)
        assert app() is not None
    del running
    gc.collect()
    assert app() is None


def test_a_start_that_fails_in_its_thread_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(**_: object) -> NoReturn:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("pyxet.server.running.ThreadPoolExecutor", refused)
    with pytest.raises(RuntimeError, match="new thread"), local_endpoint():
        pass


def test_a_forked_child_that_leaves_the_block_ends_nothing() -> None:
    with local_endpoint(user="acme") as running:
        fs = pyxet.XetFS(running.url, running.user, running.token, skip_instance_cache=True)
        fs.make_repo("acme/forked")
        fs.pipe_file("acme/forked/main/a.bin", b"content")
        assert in_child("fork", running.__exit__, None, None, None) is None
        assert running.root.is_dir()
        fs.invalidate_cache()
        assert fs.cat_file("acme/forked/main/a.bin") == b"content"
    assert not running._running or not running._running.root.exists()
