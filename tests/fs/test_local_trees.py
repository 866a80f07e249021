"""Which local files are uploaded: by put, by the command and by ingest alike."""

from __future__ import annotations

import os
import shutil
import socket
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.cli import Cli

import pyxet

NOT_UTF8 = os.fsdecode(b"caf\xe9.txt")


def files(xet: pyxet.XetFS, main: str) -> list[str]:
    return [name.removeprefix(f"{main}/") for name in xet.find(main)]


def by_put(xet: pyxet.XetFS, main: str, tree: Path) -> None:
    xet.put(str(tree), main, recursive=True)


def by_pattern(xet: pyxet.XetFS, main: str, tree: Path) -> None:
    xet.put(f"{tree}/**", main)


def by_pairs(xet: pyxet.XetFS, main: str, tree: Path) -> None:
    xet.put([str(tree)], [f"{main}/tree"], recursive=True)


def by_transaction(xet: pyxet.XetFS, main: str, tree: Path) -> None:
    with xet.transaction as tr:
        tr.put(str(tree), main, recursive=True)


def by_ingest(xet: pyxet.XetFS, main: str, tree: Path) -> None:
    pyxet.ingest(tree, f"{main}/tree", fs=xet)


WAYS = [by_put, by_pattern, by_pairs, by_transaction, by_ingest]
Way = Callable[[pyxet.XetFS, str, Path], None]


def name_in(way: Way, name: str) -> str:
    """What a pattern matches keeps no name of the folder in front of the pattern."""
    return name if way is by_pattern else f"tree/{name}"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    for name in ("a.txt", "sub/b.txt", "sub/deep/c.csv"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(name.encode())
    return tree


@pytest.mark.needs("links")
@pytest.mark.parametrize("way", WAYS)
def test_links_are_followed(xet: pyxet.XetFS, main: str, tree: Path, tmp_path: Path, way: Way) -> None:
    (tmp_path / "outside" / "in").mkdir(parents=True)
    (tmp_path / "outside" / "in" / "d").write_bytes(b"d")
    (tree / "linked").symlink_to(tmp_path / "outside")
    (tree / "file").symlink_to(tmp_path / "outside" / "in" / "d")
    xet.pipe(f"{main}/there", b"")
    way(xet, main, tree)
    names = ["a.txt", "file", "linked/in/d", "sub/b.txt", "sub/deep/c.csv"]
    assert files(xet, main) == sorted([*(name_in(way, name) for name in names), "there"])
    assert xet.cat(f"{main}/{name_in(way, 'file')}") == b"d"


@pytest.mark.needs("links")
def test_links_to_folders_may_be_left_alone(xet: pyxet.XetFS, main: str, tree: Path, tmp_path: Path) -> None:
    (tree / "linked").symlink_to(tree / "sub")
    (tree / "file").symlink_to(tree / "a.txt")
    xet.put(f"{tree}/", main, recursive=True, follow_links=False)
    assert files(xet, main) == ["a.txt", "file", "sub/b.txt", "sub/deep/c.csv"]
    # What is named itself is meant.
    (tmp_path / "top").symlink_to(tree)
    xet.put(f"{tmp_path}/top/", f"{main}/top", recursive=True, follow_links=False)
    assert files(xet, f"{main}/top") == ["a.txt", "file", "sub/b.txt", "sub/deep/c.csv"]


@pytest.mark.needs("links")
@pytest.mark.parametrize("way", WAYS)
def test_links_back_end(xet: pyxet.XetFS, main: str, tree: Path, way: Way) -> None:
    xet.pipe(f"{main}/there", b"")
    (tree / "sub" / "up").symlink_to(tree)
    (tree / "sub" / "deep" / "self").symlink_to(".")
    with pytest.warns(pyxet.PyxetWarning, match="link to a folder that it lies in") as told:
        way(xet, main, tree)
    assert len(told) == 2
    names = ["a.txt", "sub/b.txt", "sub/deep/c.csv"]
    assert files(xet, main) == sorted([*(name_in(way, name) for name in names), "there"])


@pytest.mark.parametrize("way", WAYS)
def test_git_is_left_out(xet: pyxet.XetFS, main: str, tree: Path, way: Way) -> None:
    xet.pipe(f"{main}/there", b"")
    (tree / ".git" / "objects").mkdir(parents=True)
    (tree / ".git" / "HEAD").write_bytes(b"ref")
    (tree / "sub" / ".git").write_bytes(b"gitdir: elsewhere")
    (tree / ".gitignore").write_bytes(b"*.pyc")
    with pytest.warns(pyxet.PyxetWarning, match=r"\.git' is left out") as told:
        way(xet, main, tree)
    assert len(told) == 2
    names = [".gitignore", "a.txt", "sub/b.txt", "sub/deep/c.csv"]
    assert files(xet, main) == sorted([*(name_in(way, name) for name in names), "there"])


def test_who_excludes_git_is_not_told(xet: pyxet.XetFS, main: str, tree: Path) -> None:
    (tree / ".git").mkdir()
    (tree / ".git" / "HEAD").write_bytes(b"ref")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        xet.put(f"{tree}/", main, recursive=True, exclude=[".git"])
    assert files(xet, main) == ["a.txt", "sub/b.txt", "sub/deep/c.csv"]


@pytest.mark.needs("fifos", "unix sockets")
@pytest.mark.parametrize("kind", ["pipe", "socket"])
@pytest.mark.parametrize("way", WAYS)
def test_what_never_ends_is_refused_by_name(
    xet: pyxet.XetFS, main: str, tree: Path, monkeypatch: pytest.MonkeyPatch, way: Way, kind: str
) -> None:
    if kind == "pipe":
        os.mkfifo(tree / "sub" / "special")
    else:
        monkeypatch.chdir(tree / "sub")
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("special")
    before = xet.log(main)
    with pytest.raises((shutil.SpecialFileError, pyxet.IngestError), match=r"sub/special.*(is a|not a)"):
        way(xet, main, tree)
    assert xet.log(main) == before


@pytest.mark.needs("fifos")
@pytest.mark.parametrize(
    "call",
    [
        lambda fs, path, pipe: fs.put_file(pipe, path),
        lambda fs, path, pipe: fs.put(pipe, path),
        lambda fs, path, pipe: fs.put([pipe], [path]),
        lambda fs, path, pipe: fs.stage(pipe, path),
        lambda fs, path, pipe: fs.stage_many({path: pipe}),
        lambda fs, path, pipe: fs.put_file("/dev/zero", path),
    ],
)
def test_a_pipe_alone_is_refused(xet: pyxet.XetFS, main: str, tmp_path: Path, call: Callable[..., Any]) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(shutil.SpecialFileError, match=r"pipe|zero"):
        call(xet, f"{main}/x", str(tmp_path / "pipe"))
    assert not xet.exists(f"{main}/x")


@pytest.mark.needs("names in bytes")
@pytest.mark.parametrize("way", WAYS)
def test_names_that_are_no_text_are_told(xet: pyxet.XetFS, main: str, tree: Path, way: Way) -> None:
    (tree / "sub" / NOT_UTF8).write_bytes(b"x")
    before = xet.log(main)
    with pytest.raises((pyxet.XetURLError, pyxet.IngestError), match=r"caf\\udce9") as told:
        way(xet, main, tree)
    assert str(told.value).isprintable()
    assert xet.log(main) == before


CALLS: list[Callable[[pyxet.XetFS, str], Any]] = [
    lambda fs, path: fs.pipe_file(path, b"x"),
    lambda fs, path: fs.pipe({path: b"x"}),
    lambda fs, path: fs.open(path, "w"),
    lambda fs, path: fs.open(path),
    lambda fs, path: fs.info(path),
    lambda fs, path: fs.exists(path),
    lambda fs, path: fs.ls(path),
    lambda fs, path: fs.find(path),
    lambda fs, path: fs.cat(path),
    lambda fs, path: fs.cat([path]),
    lambda fs, path: fs.rm(path),
    lambda fs, path: fs.cp(path, f"{path}2"),
    lambda fs, path: fs.mv(path, f"{path}2"),
    lambda fs, path: fs.stage(b"x", path),
    lambda fs, path: fs.mkdir(path),
    lambda fs, path: fs.touch(path),
]


@pytest.mark.parametrize("call", CALLS)
def test_a_path_that_is_no_text_is_an_error_of_the_path(xet: pyxet.XetFS, main: str, call: Callable[..., Any]) -> None:
    with pytest.raises(pyxet.XetURLError, match=r"caf\\udce9.*UTF-8"):
        call(xet, f"{main}/{NOT_UTF8}")


@pytest.mark.needs("fifos", "names in bytes")
def test_names_that_are_no_text_may_be_excluded(xet: pyxet.XetFS, main: str, tree: Path) -> None:
    (tree / "sub" / NOT_UTF8).write_bytes(b"x")
    os.mkfifo(tree / "pipe")
    xet.put(f"{tree}/", main, recursive=True, exclude=["caf*", "pipe"])
    assert files(xet, main) == ["a.txt", "sub/b.txt", "sub/deep/c.csv"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"exclude": ["*.csv"]}, ["a.txt", "sub/b.txt"]),
        ({"exclude": "*.csv"}, ["a.txt", "sub/b.txt"]),
        ({"exclude": ["deep"]}, ["a.txt", "sub/b.txt"]),
        ({"exclude": ["sub"]}, ["a.txt"]),
        ({"exclude": ["sub/*.txt"]}, ["a.txt", "sub/deep/c.csv"]),
        ({"include": ["*.txt"]}, ["a.txt", "sub/b.txt"]),
        ({"include": ["sub"]}, ["sub/b.txt", "sub/deep/c.csv"]),
        ({"include": ["sub"], "exclude": ["deep/"]}, ["sub/b.txt"]),
        ({"include": ["*.txt", "*.csv"], "exclude": ["a.*"]}, ["sub/b.txt", "sub/deep/c.csv"]),
        ({"include": ["*.parquet"]}, []),
    ],
)
def test_include_and_exclude(
    fresh: pyxet.XetFS, main: str, cli: Cli, tree: Path, options: dict[str, Any], expected: list[str]
) -> None:
    fresh.put(f"{tree}/", f"{main}/put", recursive=True, **options)
    assert files(fresh, f"{main}/put") == expected
    given = [
        (f"--{name}", pattern)
        for name, found in options.items()
        for pattern in ([found] if isinstance(found, str) else found)
    ]
    cli("cp", "-r", f"{tree}/", f"{main}/cp/", *(text for pair in given for text in pair))
    assert files(fresh, f"{main}/cp") == expected


@pytest.mark.needs("links")
def test_the_command_tells_what_it_leaves_out(fresh: pyxet.XetFS, main: str, cli: Cli, tree: Path) -> None:
    (tree / ".git").mkdir()
    (tree / ".git" / "HEAD").write_bytes(b"ref")
    (tree / "sub" / "up").symlink_to(tree)
    (tree / "linked").symlink_to(tree / "sub" / "deep")
    for command in (("cp", "-r"), ("sync",)):
        fresh.make_branch(main.rpartition("/")[0], "main", command[0])
        target = f"{main.rpartition('/')[0]}/{command[0]}"
        done = cli(*command, f"{tree}/", f"{target}/")
        assert files(fresh, target) == ["a.txt", "linked/c.csv", "sub/b.txt", "sub/deep/c.csv"]
        assert f"{tree}/.git is left out" in done.err
        assert f"{tree}/sub/up is left out" in done.err
    quiet = cli("cp", "-r", f"{tree}/", f"{target}/", "--exclude", ".git", "--exclude", "up")
    assert "left out" not in quiet.err
    # A checkout that is synced keeps what git knows of it.
    cli("sync", f"{main.rpartition('/')[0]}/sync", str(tree), "--delete")
    assert (tree / ".git" / "HEAD").exists()


@pytest.mark.parametrize(
    "call",
    [
        lambda fs, repo, text: fs.make_branch(repo, "main", text),
        lambda fs, repo, text: fs.make_branch(repo, text, "b"),
        lambda fs, repo, text: fs.make_tag(repo, text),
        lambda fs, repo, text: fs.make_tag(repo, "v1", message=text),
        lambda fs, repo, text: fs.delete_branch(repo, text),
        lambda fs, repo, text: fs.find_ref(repo, text),
        lambda fs, repo, text: list(fs.diff(repo, "main", text)),
        lambda fs, repo, text: fs.make_repo(f"{repo}{text}"),
        lambda fs, repo, text: fs.pipe_file(f"{repo}/main/x", b"x", message=text),
    ],
)
def test_names_and_messages_that_are_no_text(xet: pyxet.XetFS, repo: str, call: Callable[..., Any]) -> None:
    with pytest.raises((pyxet.XetURLError, pyxet.ConfigError), match=r"caf\\udce9.*UTF-8"):
        call(xet, repo, NOT_UTF8)
    assert not xet.exists(f"{repo}/main/x")
