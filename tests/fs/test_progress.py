"""Progress: bytes for a file, files and their bytes for many, through any callback of fsspec, and no more than there is."""

from __future__ import annotations

import io
import random
from pathlib import Path
from typing import Any

import pytest
from fsspec.callbacks import Callback, NoOpCallback, TqdmCallback
from support.faults import XORB, cut
from support.proxied import proxied

import pyxet
from pyxet import NotFoundError
from pyxet.testing import LocalEndpoint

MIB = 1024 * 1024
CONTENT = random.Random(__name__).randbytes(20 * MIB)


class Seen(Callback):
    """Notes every value, and makes one of itself for each file."""

    def __init__(self, **options: Any) -> None:
        self.values: list[int] = []
        self.sizes: list[int] = []
        self.branches: dict[tuple[str, str], Seen] = {}
        self.closed = 0
        super().__init__(**options)

    def set_size(self, size: int) -> None:
        self.sizes.append(size)
        super().set_size(size)

    def call(self, *args: Any, **kwargs: Any) -> None:
        self.values.append(self.value)

    def branched(self, path_1: Any, path_2: Any, **kwargs: Any) -> Seen:
        child = Seen()
        self.branches[str(path_1), str(path_2)] = child
        return child

    def close(self) -> None:
        self.closed += 1

    def check(self, size: int) -> None:
        """It began with the size, only grew, and ended exactly there."""
        assert self.sizes == [size]
        assert self.values == sorted(self.values)
        assert self.value == size
        assert max(self.values) == size


def test_a_file_counts_bytes_up_and_down(xet: pyxet.XetFS, main: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(CONTENT)
    up, down = Seen(), Seen()
    xet.put_file(tmp_path / "x", f"{main}/x", callback=up)
    xet.get_file(f"{main}/x", tmp_path / "y", callback=down)
    for seen in (up, down):
        seen.check(len(CONTENT))
        # On the way, not at the end: what is shown moves.
        assert len(set(seen.values)) > 2
    again = Seen()
    xet.put_file(tmp_path / "x", f"{main}/z", callback=again)
    again.check(len(CONTENT))


@pytest.mark.parametrize("size", [0, 1, 5000])
def test_small_files_and_file_objects(xet: pyxet.XetFS, main: str, tmp_path: Path, size: int) -> None:
    (tmp_path / "x").write_bytes(CONTENT[:size])
    for source, target, number in ((tmp_path / "x", tmp_path / "y", 0), (io.BytesIO(CONTENT[:size]), io.BytesIO(), 1)):
        up, down = Seen(), Seen()
        xet.put_file(source, f"{main}/{number}", callback=up)
        xet.get_file(f"{main}/{number}", target, callback=down)
        assert up.value == down.value == down.size == size
    with xet.transaction:
        xet.pipe_file(f"{main}/pending", CONTENT[:size])
        pending = Seen()
        xet.get_file(f"{main}/pending", tmp_path / "z", callback=pending)
        assert pending.value == pending.size == size


def test_many_files_count_files_and_their_branches_bytes(xet: pyxet.XetFS, main: str, tmp_path: Path) -> None:
    sizes = {"a": 0, "b": 10, "d/c": 3 * MIB, "d/e": 100}
    for name, size in sizes.items():
        (tmp_path / "from" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "from" / name).write_bytes(CONTENT[:size])
    up, down = Seen(), Seen()
    xet.put(f"{tmp_path}/from/", f"{main}/to/", recursive=True, callback=up)
    xet.get(f"{main}/to/", f"{tmp_path}/back/", recursive=True, callback=down)
    for seen, ours in ((up, 1), (down, 0)):
        assert seen.value == seen.size
        found = {pair[ours].partition("/to/")[2]: branch for pair, branch in seen.branches.items()}
        assert {name: branch.value for name, branch in found.items()} == sizes
        assert {name: branch.size for name, branch in found.items()} == sizes
        assert [branch.closed for branch in found.values()] == [1] * 4


def test_a_retry_counts_nothing_twice(shared_endpoint: LocalEndpoint, main: str, tmp_path: Path) -> None:
    with proxied(shared_endpoint) as (proxy, fs):
        fs.pipe_file(f"{main}/x", CONTENT)
        proxy.rule(XORB, cut(0.5), times=3)
        seen = Seen()
        fs.get_file(f"{main}/x", tmp_path / "x", callback=seen)
        seen.check(len(CONTENT))


def test_a_download_that_goes_on_counts_what_is_there(
    shared_endpoint: LocalEndpoint, main: str, tmp_path: Path
) -> None:  # fmt: skip
    class Enough(Exception):
        pass

    class Stopping(Seen):
        def call(self, *args: Any, **kwargs: Any) -> None:
            super().call(*args, **kwargs)
            if 0 < self.value < len(CONTENT):
                raise Enough

    with proxied(shared_endpoint) as (_, fs):
        fs.pipe_file(f"{main}/x", CONTENT)
        with pytest.raises(Enough):
            fs.get_file(f"{main}/x", tmp_path / "x", callback=Stopping())
        seen = Seen()
        fs.get_file(f"{main}/x", tmp_path / "x", callback=seen)
    seen.check(len(CONTENT))
    assert seen.values[1] > 0
    assert (tmp_path / "x").read_bytes() == CONTENT


def test_any_callback_will_do(xet: pyxet.XetFS, main: str, tmp_path: Path) -> None:
    pytest.importorskip("tqdm")
    (tmp_path / "x").write_bytes(CONTENT[:MIB])
    for callback in (NoOpCallback(), None, Callback(), TqdmCallback(tqdm_kwargs={"disable": True})):
        xet.put_file(tmp_path / "x", f"{main}/x", callback=callback)
        xet.put(str(tmp_path / "x"), f"{main}/x", callback=callback)
        xet.get_file(f"{main}/x", tmp_path / "y", callback=callback)
        xet.get(f"{main}/x", str(tmp_path / "y"), callback=callback)


def test_a_failure_closes_its_branch(xet: pyxet.XetFS, main: str, tmp_path: Path) -> None:
    xet.pipe_file(f"{main}/x", CONTENT[:100])
    seen = Seen()
    (tmp_path / "y").mkdir()
    (tmp_path / "y" / "z").touch()
    with pytest.raises(OSError):
        xet.get([f"{main}/x"], [str(tmp_path / "y")], callback=seen)
    assert [branch.closed for branch in seen.branches.values()] == [1]
    with pytest.raises(NotFoundError):
        xet.get_file(f"{main}/nope", tmp_path / "n", callback=seen)
