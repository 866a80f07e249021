"""A name that is known is not a pattern, whatever characters are in it, and no call leaves out what it was told to do."""

from __future__ import annotations

import glob
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest
from support.accounts import account_of
from support.cli import Cli

import pyxet
from pyxet.path import XetPath

# Each could be a pattern; the second name of a pair is what it would match.
NAMES = [
    ("a?b.txt", "a1b.txt"),
    ("data[1].csv", "data1.csv"),
    ("x*", "xy"),
    ("d/[ab].bin", "d/a.bin"),
    ("e[x]/f", "ex/f"),
]
FILES = {name: f"{name}".encode() for pair in NAMES for name in pair}

Call = Callable[[pyxet.XetFS, str, Any], Any]


def by_transaction(method: str) -> Call:
    def call(xet: pyxet.XetFS, main: str, names: Any) -> None:
        with xet.transaction as tr:
            getattr(tr, method)(names, *([f"{main}/new/"] if method in ("mv", "cp") else []))

    return call


@pytest.fixture
def full(xet: pyxet.XetFS, main: str) -> str:
    """A branch with all the names in it."""
    xet.pipe({f"{main}/{name}": content for name, content in FILES.items()})
    return main


def left(xet: pyxet.XetFS, main: str) -> dict[str, bytes]:
    """Everything in the branch, read without any call that knows patterns."""
    return {name.removeprefix(f"{main}/"): xet.cat_file(name) for name in xet.find(main)}


@pytest.mark.parametrize("spelling", [str, glob.escape])
@pytest.mark.parametrize("several", [False, True])
class TestKnownNames:
    @pytest.mark.parametrize(
        "call",
        [
            lambda xet, main, names: xet.rm(names),
            lambda xet, main, names: xet.rm(names, recursive=True),
            by_transaction("rm"),
        ],
        ids=["rm", "recursive", "transaction"],
    )
    def test_rm(self, xet: pyxet.XetFS, full: str, call: Call, several: bool, spelling: Callable[[str], str]) -> None:
        names = [name for name, _ in NAMES] if several else [NAMES[1][0]]
        given = [f"{full}/{spelling(name)}" for name in names]
        call(xet, full, given if several else given[0])
        assert left(xet, full) == {name: content for name, content in FILES.items() if name not in names}

    @pytest.mark.parametrize(
        "call",
        [
            lambda xet, main, names: xet.mv(names, f"{main}/new/"),
            lambda xet, main, names: xet.move(names, f"{main}/new/", recursive=True),
            lambda xet, main, names: xet.rename(names, f"{main}/new/"),
            by_transaction("mv"),
        ],
        ids=["mv", "move", "rename", "transaction"],
    )
    def test_mv(self, xet: pyxet.XetFS, full: str, call: Call, several: bool, spelling: Callable[[str], str]) -> None:
        names = [name for name, _ in NAMES] if several else [NAMES[1][0]]
        given = [f"{full}/{spelling(name)}" for name in names]
        call(xet, full, given if several else given[0])
        moved = {f"new/{name.rpartition('/')[2]}": FILES[name] for name in names}
        assert left(xet, full) == moved | {name: content for name, content in FILES.items() if name not in names}

    @pytest.mark.parametrize(
        "call",
        [lambda xet, main, names: xet.cp(names, f"{main}/new/"), by_transaction("cp")],
        ids=["cp", "transaction"],
    )
    def test_cp(self, xet: pyxet.XetFS, full: str, call: Call, several: bool, spelling: Callable[[str], str]) -> None:
        names = [name for name, _ in NAMES] if several else [NAMES[1][0]]
        given = [f"{full}/{spelling(name)}" for name in names]
        call(xet, full, given if several else given[0])
        assert left(xet, full) == FILES | {f"new/{name.rpartition('/')[2]}": FILES[name] for name in names}

    def test_cat(self, xet: pyxet.XetFS, full: str, several: bool, spelling: Callable[[str], str]) -> None:
        if not several:
            for name, _ in NAMES:
                assert xet.cat(f"{full}/{spelling(name)}") == FILES[name]
            return
        found = xet.cat([f"{full}/{spelling(name)}" for name, _ in NAMES])
        assert found == {f"{full}/{name}": FILES[name] for name, _ in NAMES}

    def test_cat_ranges(self, xet: pyxet.XetFS, full: str, several: bool, spelling: Callable[[str], str]) -> None:
        names = [name for name, _ in NAMES] if several else [NAMES[1][0]]
        found = xet.cat_ranges([f"{full}/{spelling(name)}" for name in names], 1, 3)
        assert found == [FILES[name][1:3] for name in names]

    def test_get(
        self, xet: pyxet.XetFS, full: str, tmp_path: Path, several: bool, spelling: Callable[[str], str]
    ) -> None:  # fmt: skip
        names = [name for name, _ in NAMES] if several else [NAMES[1][0]]
        given = [f"{full}/{spelling(name)}" for name in names]
        xet.get(given if several else given[0], f"{tmp_path}/new/")
        found = {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        assert found == {name.rpartition("/")[2]: FILES[name] for name in names}

    def test_put(
        self, xet: pyxet.XetFS, main: str, tmp_path: Path, several: bool, spelling: Callable[[str], str]
    ) -> None:  # fmt: skip
        for name, content in FILES.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(content)
        names = [name for name, _ in NAMES] if several else [NAMES[1][0]]
        given = [f"{tmp_path}/{spelling(name)}" for name in names]
        xet.put(given if several else given[0], f"{main}/new/")
        assert left(xet, main) == {f"new/{name.rpartition('/')[2]}": FILES[name] for name in names}

    def test_find_and_du(self, xet: pyxet.XetFS, full: str, several: bool, spelling: Callable[[str], str]) -> None:
        for name, _ in NAMES:
            assert xet.find(f"{full}/{spelling(name)}") == [f"{full}/{name}"]
            assert xet.du(f"{full}/{spelling(name)}") == len(FILES[name])
        assert xet.find(f"{full}/{spelling('e[x]')}") == [f"{full}/e[x]/f"]
        assert xet.du(f"{full}/{spelling('e[x]')}", total=False) == {f"{full}/e[x]/f": len(FILES["e[x]/f"])}


def test_a_name_keeps_its_name(xet: pyxet.XetFS, full: str, tmp_path: Path) -> None:
    """fsspec puts what a pattern matches into a folder of the target's name; what a name means gets the name."""
    xet.mv(f"{full}/a?b.txt", f"{full}/moved.txt")
    xet.mv_file(f"{full}/x*", f"{full}/x?")
    xet.cp(f"{full}/{glob.escape('data[1].csv')}", f"{full}/copied.csv")
    xet.get(f"{full}/d/[ab].bin", f"{tmp_path}/got.bin")
    xet.put(f"{tmp_path}/got.bin", f"{full}/put[1].bin")
    assert (tmp_path / "got.bin").read_bytes() == FILES["d/[ab].bin"]
    expected = {"moved.txt": FILES["a?b.txt"], "x?": FILES["x*"], "copied.csv": FILES["data[1].csv"]}
    assert left(xet, full).items() >= (expected | {"put[1].bin": FILES["d/[ab].bin"]}).items()
    assert left(xet, full).keys() == (FILES.keys() | expected.keys() | {"put[1].bin"}) - {"a?b.txt", "x*"}


def test_a_folder_is_known_as_well(xet: pyxet.XetFS, full: str, tmp_path: Path) -> None:
    xet.get(f"{full}/e[x]", f"{tmp_path}/e", recursive=True)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["f"]
    xet.put(f"{tmp_path}/e", f"{full}/[e]", recursive=True)
    xet.cp(f"{full}/[e]", f"{full}/e*", recursive=True)
    xet.mv(f"{full}/e[x]", f"{full}/e?", recursive=True)
    xet.rm(f"{full}/[e]", recursive=True)
    assert left(xet, full).keys() == (FILES.keys() - {"e[x]/f"}) | {"e*/f", "e?/f"}


def test_what_was_found_can_be_given_back(xet: pyxet.XetFS, full: str, tmp_path: Path) -> None:
    found = xet.find(full)
    assert xet.cat(found) == {f"{full}/{name}": content for name, content in FILES.items()}
    assert xet.cat_ranges(found, None, None) == [xet.cat_file(name) for name in found]
    xet.get(found, [f"{tmp_path}/{number}" for number, _ in enumerate(found)])
    assert [(tmp_path / str(number)).read_bytes() for number, _ in enumerate(found)] == [
        FILES[n.removeprefix(f"{full}/")] for n in found
    ]
    assert xet.expand_path(found) == found
    xet.cp(found, [f"{name}.copy" for name in found])
    xet.mv(found, [f"{name}.moved" for name in found])
    assert left(xet, full).keys() == {f"{name}.{way}" for name in FILES for way in ("copy", "moved")}
    xet.rm(xet.find(full))
    assert left(xet, full) == {}


def test_inside_a_transaction_names_are_those_that_are_pending(xet: Any, full: str) -> None:
    with xet.transaction as tr:
        tr.pipe(f"{full}/p[1]", b"named")
        tr.pipe(f"{full}/p1", b"matched")
        assert xet.cat(f"{full}/p[1]") == b"named"
        tr.rm(f"{full}/p[1]")
        # It is gone, so it is a pattern now.
        assert xet.cat(f"{full}/p[1]") == {f"{full}/p1": b"matched"}
    assert xet.exists(f"{full}/p1")
    assert not xet.exists(f"{full}/p[1]")


@pytest.mark.parametrize("lost", ["gone.txt", "g[o]ne.txt", "*.parquet", glob.escape("g[o]ne.txt")])
@pytest.mark.parametrize("recursive", [False, True])
def test_an_element_that_matches_nothing_raises(
    xet: pyxet.XetFS, full: str, tmp_path: Path, lost: str, recursive: bool
) -> None:
    before = xet.log(full)[0].id
    names = [f"{full}/a1b.txt", f"{full}/{lost}"]
    (tmp_path / "there").write_bytes(b"x")
    for call in (
        lambda: xet.rm(names, recursive=recursive),
        lambda: xet.cat(names, recursive=recursive),
        lambda: xet.get(names, f"{tmp_path}/got/", recursive=recursive),
        lambda: xet.cp(names, f"{full}/new/", recursive=recursive),
        lambda: xet.mv(names, f"{full}/new/", recursive=recursive),
        lambda: xet.put([f"{tmp_path}/there", f"{tmp_path}/{lost}"], f"{full}/new/", recursive=recursive),
    ):
        with pytest.raises(FileNotFoundError):
            call()
    assert xet.log(full)[0].id == before
    assert not (tmp_path / "got").exists()
    found = xet.cat(names, recursive=recursive, on_error="return")
    assert found[names[0]] == FILES["a1b.txt"]
    assert isinstance(found[names[1]], FileNotFoundError)
    assert xet.cat(names, recursive=recursive, on_error="omit") == {names[0]: FILES["a1b.txt"]}
    xet.cp(names, f"{full}/new/", recursive=recursive, on_error="ignore")
    assert left(xet, full)["new/a1b.txt"] == FILES["a1b.txt"]


def test_literal_means_literal(xet: pyxet.XetFS, full: str, tmp_path: Path) -> None:
    for call in (
        lambda: xet.rm(f"{full}/a?b*", assume_literal=True),
        lambda: xet.cat(f"{full}/a?b*", assume_literal=True),
        lambda: xet.get(f"{full}/a?b*", str(tmp_path / "x"), assume_literal=True),
        lambda: xet.cp(f"{full}/a?b*", f"{full}/x", assume_literal=True),
        lambda: xet.mv(f"{full}/a?b*", f"{full}/x", assume_literal=True),
        lambda: xet.mv_file(f"{full}/a?b*", f"{full}/x"),
    ):
        with pytest.raises(FileNotFoundError):
            call()
    assert left(xet, full) == FILES


def test_two_files_of_one_name_are_not_left_to_luck(xet: pyxet.XetFS, main: str, tmp_path: Path) -> None:
    xet.pipe({f"{main}/a/x": b"a", f"{main}/b/x": b"b"})
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x").write_bytes(folder.encode())
    names = [f"{main}/a/x", f"{main}/b/x"]
    call: Any
    for call in (
        lambda: xet.cp(names, f"{main}/new"),
        lambda: xet.mv(names, f"{main}/new"),
        lambda: xet.mv(names, [f"{main}/new"] * 2),
        lambda: xet.get(names, f"{tmp_path}/new"),
        lambda: xet.put([f"{tmp_path}/a/x", f"{tmp_path}/b/x"], f"{main}/new"),
        lambda: xet.put([f"{tmp_path}/a/x", f"{tmp_path}/b/x"], [f"{main}/new", f"xet://{main}/new/"]),
    ):
        with pytest.raises(pyxet.XetURLError, match="would both be"):
            call()
    assert xet.find(main) == names
    assert not (tmp_path / "new").exists()


# -- mappings ----------------------------------------------------------------------------------------------------------


def test_keys_of_a_mapping_are_names(xet: pyxet.XetFS, full: str) -> None:
    mapping = xet.get_mapper(full)
    assert dict(mapping) == FILES
    assert mapping.getitems(list(FILES)) == FILES
    for lost in ("a*b.txt", "data[12].csv", "*"):
        assert lost not in mapping
        assert mapping.get(lost) is None
        call: Any
        for call, key in ((mapping.__getitem__, lost), (mapping.getitems, ["xy", lost]), (mapping.pop, lost)):
            with pytest.raises(KeyError):
                call(key)
        with pytest.raises(KeyError):
            del mapping[lost]
        with pytest.raises(FileNotFoundError):
            mapping.delitems(["xy", lost])
        assert mapping.getitems(["xy", lost], on_error="omit") == {"xy": b"xy"}
        assert isinstance(mapping.getitems([lost], on_error="return")[lost], KeyError)
    assert dict(mapping) == FILES
    del mapping["a?b.txt"]
    mapping.delitems(["data[1].csv", "x*"])
    mapping["n?w"] = b"new"
    mapping.setitems({"[ab]": b"1", "a": b"2"})
    gone = {"a?b.txt", "data[1].csv", "x*"}
    assert dict(pickle.loads(pickle.dumps(mapping))) == {
        name: content for name, content in FILES.items() if name not in gone
    } | {"n?w": b"new", "[ab]": b"1", "a": b"2"}
    before = len(xet.log(full))
    mapping.clear()
    assert len(xet.log(full)) == before + 1
    assert len(mapping) == 0
    mapping.clear()


def test_mappings_by_url_read_what_is_there(xet: pyxet.XetFS, full: str) -> None:
    options = account_of(xet)
    mapping = fsspec.get_mapper(f"xet://{full}", **options)
    assert {key: mapping[key] for key in mapping} == FILES
    assert mapping.getitems(list(FILES)) == FILES
    del mapping["a?b.txt"]
    mapping.delitems(["data[1].csv"])
    assert set(mapping) == FILES.keys() - {"a?b.txt", "data[1].csv"}


def test_a_failure_is_no_missing_key(xet: pyxet.XetFS, repo: str) -> None:
    """That a token may not write does not mean that there is no such key."""
    stranger = pyxet.XetFS(xet.endpoint, "acme", "wrong")
    mapping = stranger.get_mapper(f"{repo}/main")
    for call in (
        lambda: mapping["x"],
        lambda: mapping.getitems(["x"]),
        lambda: mapping.getitems(["x"], on_error="omit"),
        mapping.clear,
        lambda: mapping.__delitem__("x"),
        lambda: mapping.delitems(["x"]),
    ):
        with pytest.raises(PermissionError):
            call()


# -- the command, paths, polars ----------------------------------------------------------------------------------------


def test_names_of_the_command(cli: Cli, fresh: pyxet.XetFS, main: str, tmp_path: Path) -> None:
    for name, content in FILES.items():
        fresh.pipe_file(f"{main}/{name}", content)
    for spelling in (str, glob.escape):
        given = f"{main}/{spelling('data[1].csv')}"
        assert cli("cat", given).out == "data[1].csv"
        assert cli("du", given).out.split()[0] == "11"
        assert cli("find", given).lines == [f"{main}/data[1].csv"]
        cli("cp", given, f"{tmp_path}/got.csv")
        assert (tmp_path / "got.csv").read_bytes() == b"data[1].csv"
        cli("cp", f"{tmp_path}/got.csv", f"{main}/{'1' if spelling is str else '2'}[x].csv")
    cli("mv", f"{main}/{glob.escape('data[1].csv')}", f"{main}/moved?.csv")
    cli("rm", f"{main}/{glob.escape('a?b.txt')}", f"{main}/x*")
    gone = {"data[1].csv", "a?b.txt", "x*"}
    assert left(fresh, main).keys() == (FILES.keys() - gone) | {"moved?.csv", "1[x].csv", "2[x].csv"}


def test_names_of_paths(xet: pyxet.XetFS, full: str) -> None:
    here = XetPath(f"xet://{full}", **account_of(xet))
    assert (here / "a?b.txt").read_bytes() == b"a?b.txt"
    for lost in ("a*b.txt", "[x]*"):
        with pytest.raises(FileNotFoundError):
            (here / lost).unlink()
        with pytest.raises(FileNotFoundError):
            (here / lost).rename(here / "y")
    (here / "data[1].csv").rename(here / "data[2].csv")
    (here / "a?b.txt").unlink()
    (here / "e[x]").rmdir()
    (here / "x*").copy(here / "x?")
    expected = FILES.keys() - {"data[1].csv", "a?b.txt", "e[x]/f"}
    assert left(xet, full).keys() == expected | {"data[2].csv", "x?"}
