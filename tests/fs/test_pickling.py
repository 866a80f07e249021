"""What process pools do with the file system and its methods."""

from __future__ import annotations

import inspect
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pyxet
from pyxet import XetFS


def test_every_method_can_be_pickled_bound_and_unbound(xet: pyxet.XetFS, main: str) -> None:
    names = [name for name in dir(XetFS) if not name.startswith("_") and inspect.isroutine(getattr(XetFS, name))]
    assert {"size", "scan", "open", "cat_file", "find_ref", "iter_log"} <= set(names)
    for name in names:
        again = pickle.loads(pickle.dumps(getattr(xet, name)))
        assert getattr(again, "__self__", again) in (xet, XetFS, again), name
        assert pickle.loads(pickle.dumps(getattr(XetFS, name))) == getattr(XetFS, name), name
    xet.pipe_file(f"{main}/a", b"abc")
    assert pickle.loads(pickle.dumps(xet.size))(f"{main}/a") == 3
    assert [len(page) for page in pickle.loads(pickle.dumps(xet.scan))(main)] == [1]
    assert pickle.loads(pickle.dumps(XetFS.size))(xet, f"{main}/a") == 3


def test_static_methods_stay_static(xet: pyxet.XetFS) -> None:
    assert xet.from_json(xet.to_json()) == XetFS.from_json(xet.to_json())


def test_a_method_keeps_its_name(xet: pyxet.XetFS) -> None:
    assert (xet.size.__name__, XetFS.size.__qualname__, XetFS.size.__module__) == ("size", "XetFS.size", "pyxet.fs")
    assert xet.size == xet.size


def test_methods_in_a_pool_of_processes(xet: pyxet.XetFS, main: str) -> None:
    paths = [f"{main}/{number}" for number in range(4)]
    xet.pipe({path: b"x" * number for number, path in enumerate(paths)})
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        assert list(pool.map(xet.size, paths)) == [0, 1, 2, 3]
        assert pool.submit(xet.cat_file, paths[2]).result() == b"xx"
