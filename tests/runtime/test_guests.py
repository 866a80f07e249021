"""Code of others runs in threads of its own: it may wait for what needs the worker threads."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import pyxet
from pyxet.config import usable_cores


def test_more_open_files_are_copied_than_there_are_worker_threads(xet: pyxet.XetFS, main: str) -> None:
    """Reading one waits for its chunks to be decoded, in a worker thread."""
    names = [f"{main}/{number}" for number in range(usable_cores() + 6)]
    contents = {name: random.Random(name).randbytes(2_500_000) for name in names}
    xet.pipe(contents)

    def copy(name: str) -> bool:
        with xet.open(name) as file:
            xet.put_file(file, f"{name}-copy", timeout=60)
        return bool(xet.cat(f"{name}-copy") == contents[name])

    with ThreadPoolExecutor(len(names)) as pool:
        assert all(pool.map(copy, names))
