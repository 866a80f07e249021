"""What is pending below a branch, as a value, against a journal that is replayed without what was undone."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pyxet._async.changes.guards import Guard
from pyxet._async.changes.pending import Pending, PendingChanges, Scope, folders_of
from pyxet.errors import (
    AlreadyExistsError,
    EditConflictError,
    FileInTheWayError,
    FolderInTheWayError,
    TransactionError,
)

# Names that are folders of each other; the commit beneath has some of them.
PATHS = ["a", "b", "x", "x/y"]
BENEATH = {"a", "x/y"}
FOLDERS = ["", *sorted({folder for path in PATHS for folder in folders_of(path)} | set(PATHS))]

paths = st.sampled_from(PATHS)
guards = st.one_of(
    st.none(),
    st.builds(Guard, versions=st.frozensets(st.sampled_from(["1", "2"]), min_size=1, max_size=1)),
    st.builds(Guard, absent=st.just(True)),
    st.builds(Guard, since=st.frozensets(st.sampled_from(["c", "d"]), min_size=1)),
)


@dataclass(frozen=True)
class Operation:
    """A write, or a deletion if there is no ``pending``."""

    scope: Scope
    path: str
    pending: Pending | None
    guard: Guard | None


@dataclass
class State:
    """What a journal comes to."""

    files: dict[str, Pending | None] = field(default_factory=dict)
    guards: dict[str, Guard] = field(default_factory=dict)
    origins: dict[str, str | None] = field(default_factory=dict)

    def add(self, done: Operation) -> None:
        guard = done.guard
        if done.scope.guard is not None:
            guard = guard.merged(done.scope.guard) if guard is not None else done.scope.guard
        if done.pending is None and done.path not in BENEATH:
            self.files.pop(done.path, None)
            self.guards.pop(done.path, None)
            return
        self.files[done.path] = done.pending
        if guard is not None:
            before = self.guards.get(done.path)
            self.guards[done.path] = before.merged(guard) if before is not None else guard


class Operations(RuleBasedStateMachine):
    """Scopes in scopes, and beside each other."""

    def __init__(self) -> None:
        super().__init__()
        self.pending = PendingChanges("acme/titanic/main")
        self.open = [self.pending.all]
        # A scope that is kept goes on as the one that it was in.
        self.goes_on_as: dict[Scope, Scope] = {}
        self.journal: list[Operation] = []
        self.released: set[int] = set()
        self.seen: list[Pending] = []

    @initialize()
    def begin_some(self) -> None:
        first = Scope(self.pending.all)
        self.open += [first, Scope(self.pending.all, "e"), Scope(first)]

    def scope_of(self, done: Operation) -> Scope:
        scope = done.scope
        while scope in self.goes_on_as:
            scope = self.goes_on_as[scope]
        return scope

    def state(self, without: tuple[Scope, ...] = ()) -> State:
        state = State()
        for done in self.journal:
            if not any(self.scope_of(done).is_within(scope) for scope in without):
                state.add(done)
        return state

    def files_that_may_be(self, scope: Scope) -> set[str]:
        """Paths with a pending file now, or if any other scopes are undone; also with one that was deleted beneath."""
        others = [other for other in self.open if not scope.is_within(other)]
        deleted = {done.path for done in self.journal if done.pending is None and done.path in BENEATH}
        found: set[str] = set()
        for count in range(len(others) + 1):
            for undone in combinations(others, count):
                files = self.state(undone).files
                found.update(path for path, pending in files.items() if pending is not None)
                found.update(deleted - files.keys() if undone else ())
        return found

    def released_now(self, released: list[Pending]) -> None:
        self.released.update(map(id, released))

    @rule(data=st.data(), path=paths, number=st.integers(0, 9), guard=guards)
    def put(self, data: st.DataObject, path: str, number: int, guard: Guard | None) -> None:
        scope = data.draw(st.sampled_from(self.open))
        before = self.state().files.get(path)
        pending = Pending(number, bytes(number))
        may_be = self.files_that_may_be(scope)
        expected: type[Exception] | None = None
        if guard is not None and before is not None and (guard.absent or guard.versions):
            expected = AlreadyExistsError if guard.absent else EditConflictError
        elif may_be.intersection(folders_of(path)):
            expected = FileInTheWayError
        elif any(name.startswith(f"{path}/") for name in may_be):
            expected = FolderInTheWayError
        if expected is not None:
            with pytest.raises(expected):
                self.pending.put(path, pending, guard, scope)
            return
        watch, other = self.pending.watch(path), self.pending.watch("elsewhere")
        self.released_now(self.pending.put(path, pending, guard, scope))
        assert watch.changed
        assert not other.changed
        self.seen.append(pending)
        self.journal.append(Operation(scope, path, pending, guard))

    @rule(data=st.data(), path=paths, guard=guards)
    def delete(self, data: st.DataObject, path: str, guard: Guard | None) -> None:
        if self.state().files.get(path, path if path in BENEATH else None) is not None:
            scope = data.draw(st.sampled_from(self.open))
            self.released_now(self.pending.delete(path, guard, is_beneath=path in BENEATH, scope=scope))
            self.journal.append(Operation(scope, path, None, guard))

    @rule(data=st.data(), path=paths)
    def settle(self, data: st.DataObject, path: str) -> None:
        """The content of a file, visible or not, gets another place."""
        held = [pending for pending in self.seen if self.pending.holds(path, pending)]
        if held:
            old = data.draw(st.sampled_from(held))
            new = Pending(old.size, bytes(old.size))
            self.pending.replace(path, old, new)
            self.seen.append(new)
            self.journal = [
                Operation(done.scope, done.path, new, done.guard) if done.pending is old else done
                for done in self.journal
            ]

    # -- scopes --------------------------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.open) < 5)
    @rule(data=st.data(), parent_commit=st.sampled_from([None, None, "c", "e"]))
    def begin(self, data: st.DataObject, parent_commit: str | None) -> None:
        self.open.append(Scope(data.draw(st.sampled_from(self.open)), parent_commit))

    def innermost(self, data: st.DataObject) -> Scope:
        return data.draw(
            st.sampled_from([s for s in self.open[1:] if not any(t.is_within(s) and t is not s for t in self.open)])
        )

    @precondition(lambda self: len(self.open) > 1)
    @rule(data=st.data())
    def keep(self, data: st.DataObject) -> None:
        scope = self.innermost(data)
        watches = {path: self.pending.watch(path) for path in PATHS}
        self.released_now(self.pending.keep(scope))
        assert not any(watch.changed for watch in watches.values())
        assert scope.outer is not None
        self.open.remove(scope)
        self.goes_on_as[scope] = scope.outer

    @precondition(lambda self: len(self.open) > 1)
    @rule(data=st.data())
    def undo(self, data: st.DataObject) -> None:
        scope = data.draw(st.sampled_from(self.open[1:]))
        before = self.state().files
        watches = {path: self.pending.watch(path) for path in PATHS}
        self.released_now(self.pending.undo(scope))
        gone = [other for other in self.open if other.is_within(scope)]
        self.journal = [done for done in self.journal if not self.scope_of(done).is_within(scope)]
        self.open = [other for other in self.open if other not in gone]
        after = self.state().files
        for path, watch in watches.items():
            assert watch.changed == (before.get(path, "beneath") is not after.get(path, "beneath"))

    # -- what has to be true -------------------------------------------------------------------------------------------

    @invariant()
    def what_is_found(self) -> None:
        pending, state = self.pending, self.state()
        files = state.files
        assert pending.files.keys() == files.keys()
        assert all(pending.files[path] is found for path, found in files.items())
        assert pending.guards == state.guards
        alive = {path for path, found in files.items() if found is not None}
        assert (pending.written, pending.deleted) == (len(alive), len(files) - len(alive))
        replaced = set()
        for path in PATHS:
            assert pending.lookup(path, "beneath") == files.get(path, "beneath")
            assert pending.deletes(path) == (files.get(path, "beneath") is None)
        for folder in FOLDERS:
            below = {path: found for path, found in files.items() if folder in ("", *folders_of(path))}
            assert pending.under(folder) == below
            assert pending.has_files_below(folder) == any(found is not None for found in below.values())
            if below and folder in alive:
                replaced.add(folder)
        assert set(pending.replaced_folders()) == replaced

    @invariant()
    def no_file_is_ever_a_folder(self) -> None:
        for scope in self.open:
            files = {path for path, found in self.state((scope,)).files.items() if found is not None}
            assert not any(files.intersection(folders_of(path)) for path in files)

    @invariant()
    def what_nobody_sees_again_is_released(self) -> None:
        for found in self.seen:
            held = any(self.pending.holds(path, found) for path in PATHS)
            assert not (held and id(found) in self.released)

    @invariant()
    def without_scopes_there_are_no_layers(self) -> None:
        if len(self.open) == 1:
            assert not self.pending._layers
            assert not any(self.pending._returning.values())


TestOperations = Operations.TestCase
TestOperations.settings = settings(
    max_examples=80, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck), database=None
)


@pytest.mark.parametrize("is_kept", [True, False])
def test_what_comes_after_the_end_of_a_scope_is_too_late(is_kept: bool) -> None:
    pending = PendingChanges("acme/titanic/main")
    outer = Scope(pending.all)
    inner = Scope(outer)
    pending.put("a", Pending(0, b""), scope=inner)
    (pending.keep if is_kept else pending.undo)(outer if not is_kept else inner)
    with pytest.raises(TransactionError, match="too late"):
        pending.put("b", Pending(0, b""), None, inner)
    with pytest.raises(TransactionError, match="too late"):
        pending.delete("a", is_beneath=True, scope=inner)
    with pytest.raises(TransactionError, match="too late"):
        pending.keep(inner)
    assert list(pending.files) == ["a"] * is_kept
    pending.all.end()
    with pytest.raises(TransactionError, match="too late"):
        pending.put("b", Pending(0, b""))


def test_a_file_that_may_come_back_is_in_the_way_of_others() -> None:
    pending = PendingChanges("acme/titanic/main")
    pending.put("x", Pending(0, b""))
    first, second = Scope(pending.all), Scope(pending.all)
    pending.delete("x", is_beneath=False, scope=first)
    pending.delete("y/z", is_beneath=True, scope=first)
    pending.put("x/y", Pending(1, b"1"), scope=first)
    for scope in (second, pending.all):
        with pytest.raises(FileInTheWayError):
            pending.put("x/z", Pending(1, b"1"), scope=scope)
        with pytest.raises(FolderInTheWayError):
            pending.put("y", Pending(1, b"1"), scope=scope)
        assert pending.may_return("x", scope)
        assert not pending.may_return("x", first)
    pending.keep(first)
    pending.put("x/z", Pending(1, b"1"), scope=second)
    pending.put("y", Pending(1, b"1"), scope=second)
    pending.undo(second)
    assert list(pending.files) == ["y/z", "x/y"]


def test_of_two_guards_none_is_dropped_whatever_scope_writes_last() -> None:
    pending = PendingChanges("acme/titanic/main")
    first, second = (Guard(frozenset({version})) for version in ("1", "2"))
    pending.delete("a", first, is_beneath=True)
    pending.put("a", Pending(0, b""))
    inner = Scope(pending.all)
    pending.delete("a", second, is_beneath=True, scope=inner)
    pending.put("a", Pending(0, b""))
    assert pending.guards == {"a": Guard(frozenset({"1", "2"}))}
    pending.undo(inner)
    assert pending.guards == {"a": first}


def test_origins_are_of_what_is_seen() -> None:
    pending = PendingChanges("acme/titanic/main")
    inner = Scope(pending.all)
    first, second = Pending(1, b"1"), Pending(2, b"22")
    pending.put("copy", first)
    pending.note_origin("copy", "original")
    pending.put("copy", second, scope=inner)
    assert pending.origins == {}
    # Somebody else's word on what is no longer seen changes nothing.
    pending.note_origin("copy", "late")
    pending.note_origin("copy", "other", inner)
    assert pending.origins == {"copy": "other"}
    assert pending.undo(inner) == [second]
    assert pending.origins == {"copy": "original"}
    pending.delete("copy", is_beneath=False)
    assert pending.origins == {}


@pytest.mark.parametrize(("path", "folders"), [("a", []), ("a/b", ["a"]), ("a/b/c", ["a", "a/b"])])
def test_the_folders_of_a_path(path: str, folders: list[str]) -> None:
    assert folders_of(path) == folders
