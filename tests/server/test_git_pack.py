"""Commits of many files are written as one git pack, which git itself accepts."""

from __future__ import annotations

import hashlib
import random
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pygit2
import pytest

from pyxet.errors import ServerError
from pyxet.server.git_objects import EXECUTABLE, FILE, FOLDER, commit_text, write_commit
from pyxet.server.git_pack import BLOB, TREE, PackWriter, _size_header
from pyxet.server.git_trees import TreeEdit
from pyxet.testing import LocalEndpoint, local_endpoint

ENTRY = re.compile(rb"([0-7]+) ([^\0]+)\0(.{20})", re.DOTALL)


@pytest.fixture
def git(tmp_path: Path) -> pygit2.Repository:
    return pygit2.init_repository(tmp_path / "repo", bare=True)


def blobs() -> list[bytes]:
    source = random.Random(7)
    sizes = [0, 1, 15, 16, 17, 2047, 2048, 300_000, 2_000_000, *(source.randrange(300) for _ in range(500))]
    return [source.randbytes(size) for size in sizes]


def test_git_reads_what_is_in_a_pack(git: pygit2.Repository) -> None:
    contents = blobs()
    pack = PackWriter(Path(git.path) / "objects")
    names = [pack.add(BLOB, data) for data in contents]
    assert len(pack) == len(set(names)) == len(set(contents))
    assert pack.add(BLOB, contents[0]) == names[0]
    assert names == [str(pygit2.hash(data)) for data in contents]
    assert all(name not in git for name in names)
    pack.publish()
    pack.close()
    assert [git[name].read_raw() for name in names] == contents
    folder = Path(git.path) / "objects" / "pack"
    assert sorted(path.suffix for path in folder.iterdir()) == [".idx", ".pack"]
    if shutil.which("git"):
        subprocess.run(["git", "verify-pack", *map(str, folder.glob("*.idx"))], check=True, timeout=60)


def test_a_pack_that_is_not_published_leaves_nothing(git: pygit2.Repository) -> None:
    pack = PackWriter(Path(git.path) / "objects")
    pack.add(BLOB, b"x")
    pack.close()
    assert not list((Path(git.path) / "objects" / "pack").iterdir())


def test_sizes_of_objects() -> None:
    assert _size_header(3, 0) == b"\x30"
    assert _size_header(3, 15) == b"\x3f"
    assert _size_header(3, 16) == b"\xb0\x01"
    assert _size_header(3, 2048) == b"\xb0\x80\x01"


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[LocalEndpoint]:
    with local_endpoint(root=tmp_path, user="acme") as running:
        yield running


def test_a_commit_of_many_files_is_a_pack(endpoint: LocalEndpoint, tmp_path: Path) -> None:
    import pyxet

    fs = pyxet.XetFS(endpoint=endpoint.url, user=endpoint.user, token=endpoint.token)
    fs.make_repo("acme/many")
    contents = {f"acme/many/main/d{number % 3}/{number}.txt": b"%d" % number for number in range(100)}
    contents |= {f"acme/many/main/{number}.bin": bytes([0, number]) for number in range(100)}
    fs.pipe(contents)
    assert fs.cat(list(contents)) == contents
    (packs,) = [list(path.iterdir()) for path in Path(endpoint.root).rglob("objects/pack") if any(path.iterdir())]
    assert len(packs) == 2
    # Trees and the commit are in it as well: nothing is loose but what the repository began with.
    repository = packs[0].parent.parent.parent
    made = pygit2.Repository(repository)
    head = made.references["refs/heads/main"].peel(pygit2.Commit)
    wanted = {str(head.id), str(head.tree_id), *(str(entry.id) for entry in head.tree)}
    assert not {name for name in wanted if (repository / "objects" / name[:2] / name[2:]).exists()} - {
        str(entry.id) for entry in head.parents[0].tree
    }
    fs.pipe({name: b"%d" % number for number, name in enumerate(contents)})
    fs.rm("acme/many/main/d1", recursive=True)
    assert len(fs.find("acme/many/main")) == 168
    if shutil.which("git"):
        subprocess.run(["git", "-C", str(repository), "fsck", "--strict"], check=True, timeout=60)
        subprocess.run(
            ["git", "clone", "-q", "--bare", str(repository), str(tmp_path / "clone")], check=True, timeout=60
        )


def tree(entries: dict[bytes, int]) -> bytes:
    """A tree as git stores it, in git's order."""
    order = sorted(entries, key=lambda name: name + b"/" if entries[name] == FOLDER else name)
    return b"".join(b"%o %s\0%s" % (entries[name], name, hashlib.sha1(name).digest()) for name in order)


@pytest.mark.parametrize("there", [0, 3, 200, 4000])
def test_edits_of_trees_are_those_of_git(git: pygit2.Repository, there: int) -> None:
    """Names around folders, whose place depends on their kind; few changes and many, of large trees and small ones."""
    source = random.Random(there)
    blob, folder = git.create_blob(b"x"), git.TreeBuilder().write()
    names = [f"{stem}{end}" for stem in range(there) for end in ("", ".x", "-", "0")][: max(there, 8)]
    entries = {name.encode(): source.choice((FILE, EXECUTABLE, FOLDER)) for name in source.sample(names, there)}
    builder = git.TreeBuilder()
    for raw, kind in entries.items():
        builder.insert(raw.decode(), folder if kind == FOLDER else blob, kind)
    begun = git.read(builder.write())[1]
    for changes in (1, 2, 50):
        edit = TreeEdit(begun, changes)
        start: Any = git[git.write(TREE, begun)]
        compared: Any = git.TreeBuilder(start)
        for _ in range(changes):
            name = source.choice([*names, "new", "new.x", "0a"])
            mode: int | None = source.choice((FILE, EXECUTABLE, FOLDER, None))
            known = edit.get(name)
            expected: Any = compared.get(name)
            assert (known is None) == (expected is None)
            assert known is None or (known.mode, known.oid) == (expected.filemode, expected.id.raw)
            if mode is not None:
                oid = folder if mode == FOLDER else blob
                edit.insert(name, oid.raw, mode)
                compared.insert(name, oid, mode)
            elif known is not None:
                edit.remove(name)
                compared.remove(name)
            assert len(edit) == len(compared)
        assert edit.data() == git.read(compared.write())[1]


def test_names_that_are_not_utf8_stay() -> None:
    begun = tree({b"caf\xe9.txt": FILE, b"b": FILE, "café".encode(): FOLDER})
    edit = TreeEdit(begun, 1)
    assert edit.get(r"caf\xe9.txt") is not None
    edit.insert(r"caf\xe9.txt", bytes(20), FILE)
    edit.insert(r"new\xe9", bytes(20), FILE)
    edit.remove("b")
    assert len(edit) == 3
    assert [raw for _, raw, _ in ENTRY.findall(edit.data())] == ["café".encode(), b"caf\xe9.txt", rb"new\xe9"]


def test_a_damaged_tree_is_told() -> None:
    with pytest.raises(ServerError, match="damaged"):
        TreeEdit(tree({b"a": FILE, b"b": FILE})[:-1], 1)


@pytest.mark.parametrize("offset", [0, 90, -330])
def test_the_text_of_a_commit_is_that_of_git(git: pygit2.Repository, offset: int) -> None:
    author = pygit2.Signature("Jöhn Doe", "j@example.org", 1_700_000_000, offset)
    tree = git.TreeBuilder().write()
    parents: list[pygit2.Oid] = []
    for message in ("first", "title\n\nmore\n", ""):
        text = git.create_commit_string(author, author, message, tree, [*parents])
        assert commit_text(author, message, str(tree), map(str, parents)) == str(text).encode()
        parents.append(write_commit(git, author, message, tree, parents[-1:]))
