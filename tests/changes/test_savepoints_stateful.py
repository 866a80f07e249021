"""Nested transactions of several threads at once, against a journal that is replayed without what was undone."""

from __future__ import annotations

import atexit
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.blocks import Failure
from support.contents import Large
from support.raw_client import RawClient

import pyxet
from pyxet.testing import LocalEndpoint, local_endpoint

T = TypeVar("T")

PATHS = ["main/a", "main/b.txt", "main/d/c", "other/a", "other/d"]
CONTENTS = [b"", b"one line\n", b"\xff\x00binary", Large(b"\x01large" * 200_000)]

paths = st.sampled_from(PATHS)
contents = st.sampled_from(CONTENTS)


@cache
def endpoint() -> LocalEndpoint:
    running = local_endpoint(user="acme")
    running.start()
    atexit.register(running.close)
    return running


class ByHand:
    """A block of `start_transaction` and `end_transaction`."""

    def __init__(self, fs: pyxet.XetFS) -> None:
        self.fs = fs

    def __enter__(self) -> pyxet.Transaction[Any]:
        return self.fs.start_transaction()

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is None:
            self.fs.end_transaction()
        else:
            self.fs.cancel_transaction()


FORMS: list[Callable[[pyxet.XetFS], Any]] = [
    lambda fs: fs.transaction,
    lambda fs: fs.transaction(message="inner"),
    lambda fs: pyxet.Transaction(fs),
    ByHand,
]


@dataclass(eq=False)
class Block:
    """A block of an actor, which is in another one or in the outer transaction."""

    outer: Block | None
    manager: Any
    transaction: pyxet.Transaction[pyxet.XetFS]
    left_open: list[tuple[Any, str, bytes]] = field(default_factory=list)
    # Once it was kept, it goes on as what it was in.
    kept: bool = False

    def lives_in(self) -> Block | None:
        return self if not self.kept else self.outer.lives_in() if self.outer is not None else None


class Actor:
    """A thread with blocks of its own. The first one has the outer transaction in its context, the others have its ``fs``."""

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(1)
        self.blocks: list[Block] = []

    def do(self, function: Callable[[], T]) -> T:
        return self.pool.submit(function).result()


@dataclass
class Done:
    """A write, or a deletion if there is no ``data``."""

    block: Block | None
    path: str
    data: bytes | None


class Operations(RuleBasedStateMachine):
    """One operation at a time, of whichever actor."""

    @initialize()
    def begin(self) -> None:
        where = endpoint()
        self.fs = pyxet.XetFS(where.url, "acme", where.token)
        self.repo = f"acme/{uuid.uuid4().hex[:12]}"
        RawClient(where, where.token).make_repo(self.repo)
        self.fs.make_branch(self.repo, "main", "other")
        self.before = {"main/a": b"before", "other/d": b"\x00before"}
        for path, data in self.before.items():
            self.fs.pipe(self.at(path), data)
        self.journal: list[Done] = []
        self.actors = [Actor(), Actor(), Actor()]
        self.manager = self.fs.transaction(message="outer")
        self.outer = self.actors[0].do(self.manager.__enter__)

    def teardown(self) -> None:
        if not hasattr(self, "outer"):
            return
        for actor in self.actors:
            while actor.blocks:
                self.end_block(actor, keep=len(self.journal) % 2 == 0)
        self.look()
        self.actors[0].do(lambda: self.manager.__exit__(None, None, None))
        found = self.find(self.fs)
        assert found == self.state()
        changed = {path.partition("/")[0] for path in PATHS if self.before.get(path) != found.get(path)}
        assert len(self.outer.commits) == len(changed)
        for actor in self.actors:
            actor.pool.shutdown()

    def at(self, path: str) -> str:
        return f"{self.repo}/{path}"

    def state(self) -> dict[str, bytes]:
        state = dict(self.before)
        for done in self.journal:
            if done.data is None:
                state.pop(done.path, None)
            else:
                state[done.path] = done.data
        return state

    def find(self, fs: pyxet.XetFS) -> dict[str, bytes]:
        names = [name for branch in ("main", "other") for name in fs.find(self.at(branch))]
        return {name.removeprefix(f"{self.repo}/"): data for name, data in fs.cat(names).items()} if names else {}

    def writer(self, data: st.DataObject) -> tuple[Actor, Block | None, pyxet.XetFS]:
        """Who writes, in which block, and with what: by the context or by the block's ``fs``."""
        actor = data.draw(st.sampled_from(self.actors))
        block = actor.blocks[-1] if actor.blocks else None
        ways = [self.outer.fs]
        if actor is self.actors[0]:
            ways.append(self.fs)
        if block is not None:
            ways.append(block.transaction.fs)
        return actor, block, data.draw(st.sampled_from(ways))

    # -- operations ----------------------------------------------------------------------------------------------------

    @rule(data=st.data(), path=paths, content=contents)
    def pipe(self, data: st.DataObject, path: str, content: bytes) -> None:
        actor, block, fs = self.writer(data)
        actor.do(lambda: fs.pipe(self.at(path), content))
        self.journal.append(Done(block, path, content))

    @rule(data=st.data(), path=paths, content=contents, mode=st.sampled_from(["wb", "ab"]))
    def write(self, data: st.DataObject, path: str, content: bytes, mode: str) -> None:
        actor, block, fs = self.writer(data)

        def write() -> None:
            with fs.open(self.at(path), mode) as file:
                file.write(content)

        actor.do(write)
        old = self.state().get(path, b"") if mode == "ab" else b""
        # Nothing appended to what is there is no write.
        if mode == "wb" or content or path not in self.state():
            self.journal.append(Done(block, path, old + content))

    @rule(data=st.data(), path=paths)
    def rm(self, data: st.DataObject, path: str) -> None:
        actor, block, fs = self.writer(data)
        if path in self.state():
            actor.do(lambda: fs.rm(self.at(path)))
            self.journal.append(Done(block, path, None))
        else:
            with pytest.raises(FileNotFoundError):
                actor.do(lambda: fs.rm(self.at(path)))

    @rule(data=st.data(), source=paths, to=paths)
    def cp(self, data: st.DataObject, source: str, to: str) -> None:
        actor, block, fs = self.writer(data)
        if source in self.state() and source != to:
            actor.do(lambda: fs.cp(self.at(source), self.at(to)))
            self.journal.append(Done(block, to, self.state()[source]))

    @precondition(lambda self: any(actor.blocks for actor in self.actors))
    @rule(data=st.data(), path=paths, content=contents)
    def leave_open(self, data: st.DataObject, path: str, content: bytes) -> None:
        actor = data.draw(st.sampled_from([actor for actor in self.actors if actor.blocks]))
        block = actor.blocks[-1]
        file = actor.do(lambda: block.transaction.open(self.at(path), "wb"))
        file.write(content)
        block.left_open.append((file, path, content))

    # -- blocks --------------------------------------------------------------------------------------------------------

    @rule(data=st.data(), form=st.sampled_from(FORMS))
    def begin_block(self, data: st.DataObject, form: Callable[[pyxet.XetFS], Any]) -> None:
        actor, outer, fs = self.writer(data)
        if len(actor.blocks) < 3:
            manager = actor.do(lambda: form(fs))
            transaction = actor.do(manager.__enter__)
            assert transaction not in [self.outer, *(block.transaction for block in actor.blocks)]
            actor.blocks.append(Block(outer, manager, transaction))

    @precondition(lambda self: any(actor.blocks for actor in self.actors))
    @rule(data=st.data(), keep=st.booleans())
    def end(self, data: st.DataObject, keep: bool) -> None:
        self.end_block(data.draw(st.sampled_from([actor for actor in self.actors if actor.blocks])), keep=keep)

    def end_block(self, actor: Actor, *, keep: bool) -> None:
        block = actor.blocks.pop()
        if keep:
            actor.do(lambda: block.manager.__exit__(None, None, None))
            self.journal += [Done(block, path, content) for _, path, content in block.left_open]
            block.kept = True
        else:
            actor.do(lambda: block.manager.__exit__(Failure, Failure(), None))
            self.journal = [done for done in self.journal if done.block is None or done.block.lives_in() is not block]
        assert all(file.closed for file, _, _ in block.left_open)
        assert not block.transaction.active
        assert self.outer.active

    # -- what has to be true -------------------------------------------------------------------------------------------

    @invariant()
    def look(self) -> None:
        """All who are in the outer transaction see the same; nobody else sees any of it."""
        assert self.actors[2].do(lambda: self.find(self.outer.fs)) == self.state()
        assert self.find(self.fs) == self.before


TestOperations = Operations.TestCase
TestOperations.settings = settings(
    max_examples=8, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck), database=None
)
