"""What is in the way of a file is told where the file is opened, and every call does what it says or raises."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem

import pyxet

MODES = ["wb", "ab", "w", "a"]


@pytest.fixture
def full(xet: pyxet.XetFS, main: str) -> str:
    xet.pipe({f"{main}/file": b"f", f"{main}/d/a": b"a", f"{main}/d/e/b": b"b"})
    return main


# -- opening -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_folders_are_not_opened_for_writing(xet: pyxet.XetFS, full: str, mode: str) -> None:
    for folder in ("d", "d/e"):
        with pytest.raises(IsADirectoryError, match="it is a folder"):
            xet.open(f"{full}/{folder}", mode)
        with pytest.raises(IsADirectoryError), xet.transaction:
            xet.open(f"{full}/{folder}", mode)


@pytest.mark.parametrize("mode", [*MODES, "xb", "x"])
def test_nothing_is_opened_below_a_file(xet: pyxet.XetFS, full: str, mode: str) -> None:
    for path in ("file/x", "d/a/x/y"):
        with pytest.raises(NotADirectoryError, match="is a file"):
            xet.open(f"{full}/{path}", mode)
        with pytest.raises(NotADirectoryError), xet.transaction as tr:
            tr.open(f"{full}/{path}", mode)


def test_what_is_pending_is_in_the_way_too_and_what_is_deleted_is_not(xet: pyxet.XetFS, full: str) -> None:
    with xet.transaction as tr:
        tr.pipe(f"{full}/new/x", b"x")
        with pytest.raises(IsADirectoryError):
            tr.open(f"{full}/new", "wb")
        with pytest.raises(NotADirectoryError):
            tr.open(f"{full}/new/x/y", "wb")
        tr.rm([f"{full}/d", f"{full}/file"], recursive=True)
        for path in ("d", "file/below"):
            with tr.open(f"{full}/{path}", "wb") as file:
                file.write(b"instead")
    assert xet.cat(xet.find(full)) == {f"{full}/d": b"instead", f"{full}/file/below": b"instead", f"{full}/new/x": b"x"}


def test_a_folder_exists_already(xet: pyxet.XetFS, full: str) -> None:
    with pytest.raises(FileExistsError):
        xet.open(f"{full}/d", "xb")


async def test_asynchronous_files(shared_endpoint: Any, full: str) -> None:
    async with pyxet.AsyncXetFileSystem(shared_endpoint.url, "acme", shared_endpoint.token, asynchronous=True) as fs:
        with pytest.raises(IsADirectoryError):
            await fs.open_async(f"{full}/d", "wb")
        with pytest.raises(NotADirectoryError):
            await fs.open_async(f"{full}/file/x", "wb")


@pytest.mark.parametrize("path", ["d", "file/x"])
@pytest.mark.parametrize(
    "write",
    [
        lambda fs, path, local: fs.pipe_file(path, b"x"),
        lambda fs, path, local: fs.pipe({path: b"x"}),
        lambda fs, path, local: fs.put_file(str(local), path),
        lambda fs, path, local: fs.put_file(io.BytesIO(b"x"), path),
        lambda fs, path, local: fs.put([str(local)], [path]),
        lambda fs, path, local: fs.cp_file(f"{path.rpartition('/main/')[0]}/main/d/a", path),
        lambda fs, path, local: fs.touch(path),
        lambda fs, path, local: fs.commit(path.partition("/main/")[0] + "/main", [fs.stage(b"x", path)]),
    ],
    ids=["pipe_file", "pipe", "put_file", "object", "put", "cp_file", "touch", "commit"],
)
def test_every_way_to_write_says_what_is_in_the_way(
    xet: pyxet.XetFS, full: str, tmp_path: Path, write: Callable[..., Any], path: str
) -> None:
    (tmp_path / "local").write_bytes(b"x")
    before = xet.find(full)
    with pytest.raises(IsADirectoryError if path == "d" else NotADirectoryError):
        write(xet, f"{full}/{path}", tmp_path / "local")
    assert xet.find(full) == before


# -- moving ------------------------------------------------------------------------------------------------------------

TREE = ["f", "g", "d/a", "d/e/b", "h/c", "i/d/z"]
# What is moved, and where to: as a local disk does it, where it is none of fsspec's rules for trailing slashes.
MOVES = [
    ("d", "new"), ("d", "new/deep"), ("d", "h"), ("d/e", "h"), ("d/e", "e"), ("d", "i"), ("d", "f"), ("d", "d/e"), ("d", "d/new"),
    ("d", "d"), ("f", "f"), ("f", "g"), ("f", "h"), ("f", "new"), ("f", "h/c"), ("gone", "new"), ("gone", "gone"),
]  # fmt: skip


def tree_at(fs: Any, root: str) -> dict[str, bytes]:
    found = {name: fs.cat_file(name) for name in fs.find(root)}
    return {name.removeprefix(f"{root}/"): content for name, content in found.items()}


@pytest.mark.parametrize("method", ["mv", "move", "rename", "mv_file", "recursive", "transaction", "url"])
@pytest.mark.parametrize(("source", "target"), MOVES)
def test_moves_are_those_of_a_local_disk(
    xet: pyxet.XetFS, main: str, tmp_path: Path, source: str, target: str, method: str
) -> None:
    disk = LocalFileSystem(auto_mkdir=True)
    for name in TREE:
        disk.pipe_file(f"{tmp_path}/{name}", name.encode())
    xet.pipe({f"{main}/{name}": name.encode() for name in TREE})
    failed = False
    try:
        disk.mv(f"{tmp_path}/{source}", f"{tmp_path}/{target}")
    except (OSError, shutil.Error):
        failed = True
    move: Callable[..., Any] = {
        "recursive": lambda one, other: xet.mv(one, other, recursive=True),
        "url": lambda one, other: xet.mv(f"xet://{xet.endpoint.removeprefix('http://')}:{one}", other),
    }.get(method) or getattr(xet, "mv" if method == "transaction" else method)
    before = xet.log(main)
    try:
        if method == "transaction":
            with xet.transaction as tr:
                tr.mv(f"{main}/{source}", f"{main}/{target}")
        else:
            move(f"{main}/{source}", f"{main}/{target}")
    except (OSError, ValueError):
        assert failed
        assert xet.log(main) == before
    else:
        assert not failed
        assert len(xet.log(main)) - len(before) == (source != target)
    assert tree_at(xet, main) == tree_at(disk, str(tmp_path))


def test_several_folders_are_moved_whole(xet: pyxet.XetFS, full: str) -> None:
    xet.mv([f"{full}/d", f"{full}/file"], f"{full}/new/")
    assert xet.find(full) == [f"{full}/new/{name}" for name in ("d/a", "d/e/b", "file")]
    xet.mv([f"{full}/new/d/e", f"{full}/new/file"], [f"{full}/x", f"{full}/y"])
    assert xet.find(full) == [f"{full}/{name}" for name in ("new/d/a", "x/b", "y")]
    xet.mv(f"{full}/[xy]", f"{full}/z")
    assert xet.find(full) == [f"{full}/{name}" for name in ("new/d/a", "z/x/b", "z/y")]


# -- what cannot be done raises ----------------------------------------------------------------------------------------

CALLS: dict[str, Callable[[pyxet.XetFS, str, Path], Any]] = {
    "cp_file of a folder": lambda fs, main, local: fs.cp_file(f"{main}/d", f"{main}/x"),
    "cp_file of a branch": lambda fs, main, local: fs.cp_file(main, f"{main}/x"),
    "cp of nothing": lambda fs, main, local: fs.cp(f"{main}/gone", f"{main}/x"),
    "cp of nothing, recursive": lambda fs, main, local: fs.cp(f"{main}/gone", f"{main}/x", recursive=True),
    "cp to a missing branch": lambda fs, main, local: fs.cp(f"{main}/d", f"{main}2/x", recursive=True),
    "cp of a list with a folder": lambda fs, main, local: fs.cp([f"{main}/d", f"{main}/file"], f"{main}/x"),
    "cp of pairs with a folder": lambda fs, main, local: fs.cp([f"{main}/d"], [f"{main}/x"]),
    "mv of a branch": lambda fs, main, local: fs.mv(main, f"{main}/x"),
    "rename of a branch": lambda fs, main, local: fs.rename(main, f"{main}2"),
    "mv of nothing to itself": lambda fs, main, local: fs.mv(f"{main}/gone", f"{main}/gone/"),
    "mv_file of nothing": lambda fs, main, local: fs.mv_file(f"{main}/gone", f"{main}/x"),
    "put_file of a folder": lambda fs, main, local: fs.put_file(str(local), f"{main}/x"),
    "put of pairs with a folder": lambda fs, main, local: fs.put([str(local)], [f"{main}/x"]),
    "put of nothing": lambda fs, main, local: fs.put(str(local / "gone"), f"{main}/x"),
    "put of nothing, recursive": lambda fs, main, local: fs.put(str(local / "gone"), f"{main}/x", recursive=True),
    "put of a pattern": lambda fs, main, local: fs.put(f"{local}/*.gone", f"{main}/x"),
    "put to a missing branch": lambda fs, main, local: fs.put(f"{local}/f", f"{main}2/x"),
    "get of nothing": lambda fs, main, local: fs.get(f"{main}/gone", f"{local}/x"),
    "get of a pattern": lambda fs, main, local: fs.get(f"{main}/*.gone", f"{local}/x"),
    "get_file of nothing": lambda fs, main, local: fs.get_file(f"{main}/gone", f"{local}/x"),
    "rm of a branch": lambda fs, main, local: fs.rm(main, recursive=True),
    "rm of a pattern of branches": lambda fs, main, local: fs.rm(f"{main[:-1]}*", recursive=True),
    "rm of a pattern of branches, flat": lambda fs, main, local: fs.rm(f"{main[:-1]}*"),
    "rm of a repository": lambda fs, main, local: fs.rm(main.rpartition("/")[0], recursive=True),
    "rm of a folder": lambda fs, main, local: fs.rm(f"{main}/d"),
    "rm_file of a folder": lambda fs, main, local: fs.rm_file(f"{main}/d"),
    "rmdir": lambda fs, main, local: fs.rmdir(f"{main}/d"),
    "rmdir of a file": lambda fs, main, local: fs.rmdir(f"{main}/file"),
    "rmdir of nothing": lambda fs, main, local: fs.rmdir(f"{main}/gone"),
    "mkdir in a missing repository": lambda fs, main, local: fs.mkdir(f"{main.rpartition('/')[0]}2/main/x"),
    "mkdir in a missing branch": lambda fs, main, local: fs.mkdir(f"{main}2/x"),
    "makedirs in a missing branch": lambda fs, main, local: fs.makedirs(f"{main}2/x/y", exist_ok=True),
    "mkdirs in a missing branch": lambda fs, main, local: fs.mkdirs(f"xet://{main}2/x/y", exist_ok=True),
    "mkdir of a branch": lambda fs, main, local: fs.mkdir(f"{main}2"),
    "mkdir of a repository": lambda fs, main, local: fs.mkdir(f"{main.rpartition('/')[0]}2"),
    "mkdir in a tag": lambda fs, main, local: fs.mkdir(f"{main.rpartition('/')[0]}/v1/x"),
    "mkdir in a commit": lambda fs, main, local: fs.mkdir(f"{main.rpartition('/')[0]}/{fs.log(main)[0].id}/x"),
    "mkdir in the past": lambda fs, main, local: fs.mkdir(f"{main}@{{0.seconds.ago}}/x"),
    "put of an empty folder to a missing branch": lambda fs, main, local: fs.put(
        f"{local}/", f"{main}2/x", recursive=True, exclude="f"
    ),
    "mkdir of a file": lambda fs, main, local: fs.mkdir(f"{main}/file"),
    "mkdir below a file": lambda fs, main, local: fs.mkdir(f"{main}/file/x/y"),
    "touch of a folder": lambda fs, main, local: fs.touch(f"{main}/d"),
    "touch in a missing branch": lambda fs, main, local: fs.touch(f"{main}2/x", truncate=False),
    "cat of a folder": lambda fs, main, local: fs.cat(f"{main}/d"),
    "open of a folder": lambda fs, main, local: fs.open(f"{main}/d"),
    "open of a branch": lambda fs, main, local: fs.open(main, "wb"),
    "ls of nothing": lambda fs, main, local: fs.ls(f"{main}/gone"),
    "modified of nothing": lambda fs, main, local: fs.modified(f"{main}/gone"),
    "sizes of nothing": lambda fs, main, local: fs.sizes([f"{main}/gone"]),
}


@pytest.mark.parametrize("name", CALLS)
def test_what_is_not_done_raises(xet: pyxet.XetFS, full: str, tmp_path: Path, name: str) -> None:
    (tmp_path / "f").write_bytes(b"f")
    xet.make_tag(full.rpartition("/")[0], "v1", "main")
    before = xet.log(full)
    with pytest.raises((OSError, ValueError, NotImplementedError)):
        CALLS[name](xet, full, tmp_path)
    with pytest.raises((OSError, ValueError, NotImplementedError)), xet.transaction as tr:
        CALLS[name](tr.fs, full, tmp_path)
    assert xet.log(full) == before
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


@pytest.mark.parametrize("method", ["cp", "get", "put"])
def test_fsspecs_no_copies_of_folders_warn(xet: pyxet.XetFS, full: str, tmp_path: Path, method: str) -> None:
    """fsspec's suites want no copy of a folder without ``recursive``, and no error; so there is a warning."""
    (tmp_path / "d" / "e").mkdir(parents=True)
    source = f"{tmp_path}/d" if method == "put" else f"{full}/d"
    target = f"{tmp_path}/new" if method == "get" else f"{full}/new"
    for given in (source, f"{source[:-1]}?") if method != "put" else (source, f"{source}/*"):
        with pytest.warns(pyxet.PyxetWarning, match=f"nothing was .*{re.escape(given)}"):
            getattr(xet, method)(given, target)
    assert not xet.exists(f"{full}/new")
    assert not (tmp_path / "new").exists()


def test_pairs_with_folders_are_done_whole_where_that_is_asked_for(
    xet: pyxet.XetFS, full: str, tmp_path: Path
) -> None:  # fmt: skip
    xet.get([f"{full}/d", f"{full}/file"], [f"{tmp_path}/got", f"{tmp_path}/one"], recursive=True)
    assert (tmp_path / "got/e/b").read_bytes() == b"b"
    assert (tmp_path / "one").read_bytes() == b"f"
    xet.put([f"{tmp_path}/got"], [f"{full}/put"], recursive=True)
    xet.cp([f"{full}/put", f"{full}/file"], [f"{full}/cp", f"{full}/file2"], recursive=True)
    expected = ["cp/a", "cp/e/b", "d/a", "d/e/b", "file", "file2", "put/a", "put/e/b"]
    assert xet.find(full) == [f"{full}/{name}" for name in expected]
    # What lists a whole tree, folders and all, is whole as it is.
    listed = xet.find(f"{full}/d", withdirs=True)
    xet.cp(listed, [name.replace("/main/d", "/main/again") for name in listed])
    assert xet.find(f"{full}/again") == [f"{full}/again/a", f"{full}/again/e/b"]


def test_nothing_given_is_nothing_to_do(xet: pyxet.XetFS, full: str, tmp_path: Path) -> None:
    before = xet.log(full)
    xet.rm([])
    xet.mv([], f"{full}/x")
    xet.cp([], [])
    xet.put([], f"{full}/x")
    xet.get([], str(tmp_path))
    assert xet.cat([]) == {}
    assert xet.log(full) == before


def test_a_folder_made_by_its_url_can_be_removed(xet: pyxet.XetFS, full: str) -> None:
    url = fsspec.filesystem("xet", endpoint=xet.endpoint).unstrip_protocol(f"{full}/made")
    xet.mkdir(url)
    assert xet.ls(url) == []
    xet.rmdir(url)
    with pytest.raises(FileNotFoundError):
        xet.ls(url)


def test_patterns_move_what_they_match(xet: pyxet.XetFS, full: str) -> None:
    xet.pipe(f"{full}/there/x", b"x")
    xet.mv(f"{full}/d/**", f"{full}/there")
    assert xet.find(f"{full}/there") == [f"{full}/there/{name}" for name in ("a", "e/b", "x")]
    xet.pipe(f"{full}/d/e/b", b"again")
    with pytest.raises(FileExistsError):
        xet.mv(f"{full}/d/*", f"{full}/there")
    with pytest.raises(IsADirectoryError):
        xet.mv(f"{full}/d*", f"{full}/x", recursive=True, maxdepth=1)
    with pytest.raises(pyxet.XetURLError, match="itself"):
        xet.mv(f"{full}/*", f"{full}/there")


@pytest.mark.parametrize("method", ["cp", "mv", "get", "put"])
@pytest.mark.parametrize("slash", ["", "/"])
def test_one_file_in_a_folder_keeps_its_name_however_deep_it_is_looked(
    xet: pyxet.XetFS, full: str, tmp_path: Path, method: str, slash: str
) -> None:
    """By fsspec's rule it would be a file of the target's name."""
    (tmp_path / "d" / "e").mkdir(parents=True)
    (tmp_path / "d" / "a").write_bytes(b"a")
    (tmp_path / "d" / "e" / "b").write_bytes(b"b")
    source = f"{tmp_path}/d" if method == "put" else f"{full}/d"
    target = f"{tmp_path}/new" if method == "get" else f"{full}/new"
    getattr(xet, method)(source + slash, target, recursive=True, maxdepth=1)
    assert xet.find(f"{full}/new") == ([] if method == "get" else [f"{full}/new/a"])
    assert [path.name for path in (tmp_path / "new").rglob("*") if path.is_file()] == (["a"] if method == "get" else [])
    assert xet.find(f"{full}/d") == [f"{full}/d/{name}" for name in (["e/b"] if method == "mv" else ["a", "e/b"])]
