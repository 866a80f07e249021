"""What is pending below a branch, as a value, against a dictionary that knows no index."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pyxet._async.changes.guards import Guard
from pyxet._async.changes.pending import Pending, PendingChanges, folders_of
from pyxet.errors import AlreadyExistsError, EditConflictError, FileInTheWayError, FolderInTheWayError

# Names that are folders of each other.
PATHS = ["a", "b", "d/a", "d/b", "d/e/f", "x", "x/y", "x/y/z"]
FOLDERS = ["", *sorted({folder for path in PATHS for folder in folders_of(path)} | set(PATHS))]

paths = st.sampled_from(PATHS)
guards = st.one_of(
    st.none(),
    st.builds(Guard, blob_id=st.sampled_from(["1", "2"])),
    st.builds(Guard, absent=st.just(True)),
    st.builds(Guard, since=st.frozensets(st.sampled_from(["c", "d"]), min_size=1)),
)


def content(number: int) -> Pending:
    return Pending(number, bytes(number))


class Operations(RuleBasedStateMachine):
    """``files`` and ``guards`` are what has to be found."""

    def __init__(self) -> None:
        super().__init__()
        self.pending = PendingChanges("acme/titanic/main")
        self.files: dict[str, Pending | None] = {}
        self.guards: dict[str, Guard] = {}

    def guard(self, path: str, guard: Guard | None) -> None:
        if guard is not None:
            before = self.guards.get(path)
            self.guards[path] = before.merged(guard) if before is not None else guard

    @rule(path=paths, number=st.integers(0, 9), guard=guards)
    def put(self, path: str, number: int, guard: Guard | None) -> None:
        self.write(path, number, guard)

    def write(self, path: str, number: int, guard: Guard | None) -> None:
        alive = {name for name, pending in self.files.items() if pending is not None}
        expected: type[Exception] | None = None
        if guard is not None and path in alive and (guard.absent or guard.blob_id):
            expected = AlreadyExistsError if guard.absent else EditConflictError
        elif alive.intersection(folders_of(path)):
            expected = FileInTheWayError
        elif any(name.startswith(f"{path}/") for name in alive):
            expected = FolderInTheWayError
        if expected is not None:
            with pytest.raises(expected):
                self.pending.put(path, content(number), guard)
            return
        self.pending.put(path, content(number), guard)
        self.files[path] = content(number)
        self.guard(path, guard)

    @rule(path=paths, guard=guards, is_beneath=st.booleans())
    def delete(self, path: str, guard: Guard | None, is_beneath: bool) -> None:
        if is_beneath or path in self.files:
            self.pending.delete(path, guard, is_beneath=is_beneath)
            if is_beneath:
                self.files[path] = None
                self.guard(path, guard)
            else:
                del self.files[path]
                self.guards.pop(path, None)

    @rule(path=paths)
    def exclude(self, path: str) -> None:
        if path in self.files:
            self.pending.exclude([path])
            del self.files[path]

    @rule(path=paths, number=st.integers(0, 9))
    def watch(self, path: str, number: int) -> None:
        watch, other = self.pending.watch(path), self.pending.watch("elsewhere")
        before = self.files.get(path)
        self.write(path, number, None)
        assert watch.changed == (before is not self.files.get(path))
        assert not other.changed

    @invariant()
    def what_is_found(self) -> None:
        pending = self.pending
        assert pending.files == self.files
        assert pending.guards == self.guards
        alive = {path for path, found in self.files.items() if found is not None}
        assert (pending.written, pending.deleted) == (len(alive), len(self.files) - len(alive))
        for path in PATHS:
            assert pending.lookup(path, "beneath") == self.files.get(path, "beneath")
            assert pending.deletes(path) == (self.files.get(path, "beneath") is None)
        replaced = set()
        for folder in FOLDERS:
            below = {path: found for path, found in self.files.items() if folder in ("", *folders_of(path))}
            assert pending.under(folder) == below
            assert pending.has_files_below(folder) == any(below.values())
            if below and folder in alive:
                replaced.add(folder)
        assert set(pending.replaced_folders()) == replaced


TestOperations = Operations.TestCase
TestOperations.settings = settings(max_examples=60, stateful_step_count=30, deadline=None, database=None)


@pytest.mark.parametrize(("path", "folders"), [("a", []), ("a/b", ["a"]), ("a/b/c", ["a", "a/b"])])
def test_the_folders_of_a_path(path: str, folders: list[str]) -> None:
    assert folders_of(path) == folders
