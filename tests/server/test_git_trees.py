"""Looking up paths in commits of the local endpoint."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pygit2
import pytest

from pyxet.server.git_objects import FILE, FOLDER
from pyxet.server.git_trees import PathFinder, found_in


@pytest.fixture
def commit(tmp_path: Path) -> SimpleNamespace:
    """As much of a commit as is looked at, with a file, two folders, and a name that is not UTF-8."""
    git = pygit2.init_repository(tmp_path / "git", bare=True)
    blob = git.create_blob(b"content")

    def tree(entries: dict[bytes, tuple[Any, int]]) -> Any:
        written = b"".join(
            f"{mode:o} ".encode() + name + b"\0" + oid.raw for name, (oid, mode) in sorted(entries.items())
        )
        return git.odb.write(pygit2.enums.ObjectType.TREE, written)

    inner = tree({b"caf\xe9": (blob, FILE), b"z": (blob, FILE)})
    folder = tree({f"{n:04}".encode(): (blob, FILE) for n in range(1000)} | {b"d\xe9": (inner, FOLDER)})
    top = tree({b"a": (blob, FILE), b"d": (folder, FOLDER), b"e": (inner, FOLDER)})
    return SimpleNamespace(tree_id=top, tree=git[top])


@pytest.mark.parametrize(
    "path",
    [
        "a", "b", "d", "e/z", "d/0007", "d/7", "d/0007/z", "a/z", "x/z", "d//0007", "d/", "/a", "d/0007/", "e/caf\\xe9",
        "d/d\\xe9/z", "d/d\\xe9/caf\\xe9", "d/d\\xe8/z", "e/caf\\xe8", "e/café", ".", "d/..",
    ],
)  # fmt: skip
def test_paths_are_found_as_git_finds_them(commit: SimpleNamespace, path: str) -> None:
    expected, finder = found_in(commit.tree, path), PathFinder()
    for _ in range(2):
        found = finder.find(commit, path)
        if path.endswith("/"):
            # Git takes the slash for nothing; paths of requests have none there.
            assert found is None
        else:
            assert (found and found.id) == (expected and expected.id)


def test_a_folder_is_read_once_for_many_paths(commit: SimpleNamespace) -> None:
    """Git parses a folder of more than 100,000 files anew for each look-up: 20,000 of them took minutes."""
    reads = 0

    class Counted:
        tree_id = commit.tree_id

        @property
        def tree(self) -> Any:
            nonlocal reads
            reads += 1
            return commit.tree

    finder, counted = PathFinder(), Counted()
    for n in range(1000):
        assert finder.find(counted, f"d/{n:04}").id == commit.tree["a"].id
        assert finder.find(counted, "e/z")
        assert finder.find(counted, "a")
    assert reads <= 4
    for n in range(20):
        assert finder.find(counted, f"x{n}/y") is None
    assert len(finder._kept) <= 4
