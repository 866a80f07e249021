"""Any sequence of operations, in and out of transactions, against a plain dictionary."""

# ruff: noqa: PT012  # what has to raise is the end of a block

from __future__ import annotations

import atexit
import copy
import uuid
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.contents import Large
from support.raw_client import RawClient

import pyxet
from pyxet.testing import LocalEndpoint, local_endpoint

# Names that are folders of each other, so that files take the place of folders and back.
PATHS = ["a", "b.txt", "d/a", "d/b", "d/e/f", "x", "x/y", "x/y/z"]
SMALL = [b"", b"one line\n", b"other text", b"\xff\x00binary", b"\x00" * 700]
LARGE = [Large(b"\x01large" * 250_000), Large(b"large text\n" * 120_000)]

paths = st.sampled_from(PATHS)
contents = st.one_of(st.sampled_from(SMALL), st.sampled_from(SMALL), st.sampled_from(SMALL), st.sampled_from(LARGE))


@cache
def endpoint() -> LocalEndpoint:
    running = local_endpoint(user="acme")
    running.start()
    atexit.register(running.close)
    return running


class Operations(RuleBasedStateMachine):
    """``inside`` is what the writer has to see, ``outside`` what everybody else has to."""

    def __init__(self) -> None:
        super().__init__()
        where = endpoint()
        self.fs = pyxet.XetFS(endpoint=where.url, user="acme", token=where.token)
        self.other = pyxet.XetFS(endpoint=where.url, user="reader", token=where.token, listings_expiry_time=0)
        self.inside: dict[str, bytes] = {}
        self.outside: dict[str, bytes] = {}
        self.transaction: Any = None
        self.commits = 0

    @initialize()
    def begin_empty(self) -> None:
        self.repo = f"acme/{uuid.uuid4().hex[:12]}"
        RawClient(endpoint(), endpoint().token).make_repo(self.repo)

    def teardown(self) -> None:
        if self.transaction is not None:
            self.fs.cancel_transaction()

    def at(self, path: str) -> str:
        return f"{self.repo}/main/{path}"

    def fits(self, path: str) -> bool:
        """Whether a file may be written here: it is neither a folder nor below a file."""
        names = self.inside.keys() - {path}
        return not any(name.startswith(f"{path}/") or path.startswith(f"{name}/") for name in names)

    def changed(self) -> None:
        """An operation has been carried out on ``inside``."""
        if self.transaction is None:
            self.commits += self.inside != self.outside
            self.outside = copy.copy(self.inside)

    # -- operations ----------------------------------------------------------------------------------------------------

    @rule(path=paths, data=contents)
    def pipe(self, path: str, data: bytes) -> None:
        if self.fits(path):
            self.fs.pipe(self.at(path), data)
            self.inside[path] = data
            self.changed()

    @rule(path=paths, data=contents, mode=st.sampled_from(["wb", "ab", "xb"]))
    def write(self, path: str, data: bytes, mode: str) -> None:
        if not self.fits(path):
            return
        if mode == "xb" and path in self.inside:
            with pytest.raises(FileExistsError):
                self.fs.open(self.at(path), mode)
            return
        with self.fs.open(self.at(path), mode) as file:
            file.write(data[:1000])
            file.write(data[1000:])
        self.inside[path] = self.inside.get(path, b"") + data if mode == "ab" else data
        self.changed()

    @rule(path=paths)
    def rm(self, path: str) -> None:
        if path in self.inside:
            self.fs.rm(self.at(path))
            del self.inside[path]
            self.changed()
        elif self.fits(path):
            with pytest.raises(FileNotFoundError):
                self.fs.rm(self.at(path))

    @rule(folder=st.sampled_from(["d", "d/e", "x", "x/y"]))
    def rm_folder(self, folder: str) -> None:
        below = [name for name in self.inside if name.startswith(f"{folder}/")]
        if below:
            self.fs.rm(self.at(folder), recursive=True)
            for name in below:
                del self.inside[name]
            self.changed()

    @rule(source=paths, to=paths)
    def cp(self, source: str, to: str) -> None:
        if source in self.inside and self.fits(to):
            self.fs.cp(self.at(source), self.at(to))
            self.inside[to] = self.inside[source]
            self.changed()

    @rule(source=paths, to=paths)
    def mv(self, source: str, to: str) -> None:
        if source not in self.inside or any(name.startswith(f"{to}/") for name in self.inside):
            # Into a folder a file goes by its own name.
            return
        data = self.inside.pop(source)
        if not self.fits(to):
            self.inside[source] = data
            return
        self.fs.mv(self.at(source), self.at(to))
        self.inside[to] = data
        self.changed()

    @rule()
    def move_folder(self) -> None:
        below = [name for name in self.inside if name.startswith("d/")]
        if below and self.fits("moved"):
            self.fs.mv(self.at("d"), self.at("moved"), recursive=True)
            moved = {name: self.inside.pop(name) for name in below}
            folder = "moved/d" if any(name.startswith("moved/") for name in self.inside) else "moved"
            self.inside.update({folder + name.removeprefix("d"): data for name, data in moved.items()})
            self.changed()

    @rule(path=paths, data=contents)
    def fail_to_write(self, path: str, data: bytes) -> None:
        if self.fits(path):
            with pytest.raises(KeyError), self.fs.open(self.at(path), "wb") as file:
                file.write(data)
                raise KeyError

    # -- transactions --------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.transaction is None)
    @rule()
    def begin(self) -> None:
        self.transaction = self.fs.start_transaction()

    @precondition(lambda self: self.transaction is not None)
    @rule(path=paths, data=contents)
    def end(self, path: str, data: bytes) -> None:
        if self.fits(path):
            left_open = self.fs.open(self.at(path), "wb")
            left_open.write(data)
            self.inside[path] = data
        transaction, self.transaction = self.transaction, None
        self.fs.end_transaction()
        assert len(transaction.commits) == (self.inside != self.outside)
        self.changed()

    @precondition(lambda self: self.transaction is not None)
    @rule()
    def cancel(self) -> None:
        self.fs.cancel_transaction()
        self.transaction = None
        self.inside = copy.copy(self.outside)

    # -- what has to be true -------------------------------------------------------------------------------------------

    @invariant()
    def the_writer_sees_its_changes(self) -> None:
        names = sorted(self.inside)
        assert self.fs.find(self.at("")) == [self.at(name) for name in names]
        assert self.fs.du(self.at("")) == sum(map(len, self.inside.values()))
        top = {name.partition("/")[0] for name in names}
        assert self.fs.ls(self.at(""), detail=False) == [self.at(name) for name in sorted(top)]
        for folder in ("d", "x"):
            assert self.fs.isdir(self.at(folder)) == any(name.startswith(f"{folder}/") for name in names)
        if names:
            found = self.fs.cat([self.at(name) for name in names])
            assert found == {self.at(name): data for name, data in self.inside.items()}

    @invariant()
    def others_see_what_is_committed(self) -> None:
        assert self.other.find(self.at("")) == [self.at(name) for name in sorted(self.outside)]
        assert len(self.other.log(self.at("").rstrip("/"))) == self.commits + 1


TestOperations = Operations.TestCase
TestOperations.settings = settings(
    max_examples=8, stateful_step_count=18, deadline=None, suppress_health_check=list(HealthCheck), database=None
)
