"""What counts as a path and as many of them, and that what is above the files of a branch is not moved."""

import io
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import pyxet

# Not in the order of their names, so that targets in this order show whether it was kept.
NAMES = ["b", "a", "c"]
MANY: dict[str, Callable[[list[str]], Any]] = {
    "generator": lambda names: (name for name in names),
    "keys": lambda names: dict.fromkeys(names).keys(),
    "values": lambda names: dict(enumerate(names)).values(),
    "iterator": iter,
    "map": lambda names: map(str, names),
    "deque": deque,
    "series": pd.Series,
    "array": np.array,
    "tuple": tuple,
}


@pytest.fixture
def full(xet: pyxet.XetFS, main: str) -> str:
    xet.pipe({f"{main}/{name}": name.encode() for name in NAMES})
    return main


def contents(xet: pyxet.XetFS, folder: str) -> dict[str, bytes]:
    return {name.removeprefix(f"{folder}/"): xet.cat_file(name) for name in xet.find(folder)}


@pytest.mark.parametrize("many", [*MANY.values(), set], ids=[*MANY, "set"])
def test_any_iterable_is_many_paths(
    xet: pyxet.XetFS, full: str, tmp_path: Path, many: Callable[[list[str]], Any]
) -> None:
    paths = [f"{full}/{name}" for name in NAMES]
    expected = {name: name.encode() for name in NAMES}
    assert xet.cat(many(paths)) == {f"{full}/{name}": content for name, content in expected.items()}
    assert xet.expand_path(many(paths)) == sorted(paths)
    xet.get(many(paths), f"{tmp_path}/got/")
    xet.put(many([f"{tmp_path}/got/{name}" for name in NAMES]), f"{full}/put/")
    xet.cp(many(paths), f"{full}/copied/")
    xet.mv(many(paths), f"{full}/moved/")
    for folder in ("put", "copied", "moved"):
        assert contents(xet, f"{full}/{folder}") == expected
    xet.rm(many([f"{full}/moved/{name}" for name in NAMES]))
    assert not xet.exists(f"{full}/moved")


@pytest.mark.parametrize("targets", MANY.values(), ids=MANY)
@pytest.mark.parametrize("sources", MANY.values(), ids=MANY)
def test_each_of_many_gets_the_target_in_its_place(
    xet: pyxet.XetFS, full: str, tmp_path: Path, sources: Callable[..., Any], targets: Callable[..., Any]
) -> None:
    paths = [f"{full}/{name}" for name in NAMES]
    local = [f"{tmp_path}/{number}" for number in range(3)]
    xet.get(sources(paths), targets(local))
    assert [Path(name).read_bytes() for name in local] == [name.encode() for name in NAMES]
    with xet.transaction:
        xet.put(sources(local), targets([f"{full}/put/{number}" for number in range(3)]))
        xet.cp(sources(paths), targets([f"{full}/copied/{number}" for number in range(3)]))
        xet.mv(sources(paths), targets([f"{full}/moved/{number}" for number in range(3)]))
    for folder in ("put", "copied", "moved"):
        assert contents(xet, f"{full}/{folder}") == {str(at): name.encode() for at, name in enumerate(NAMES)}


@pytest.mark.parametrize("call", ["cp", "mv", "get", "put"])
@pytest.mark.parametrize("which", [0, 1])
def test_sets_have_no_order_for_targets(xet: pyxet.XetFS, full: str, call: str, which: int) -> None:
    given: list[Any] = [[f"{full}/a", f"{full}/b"], [f"{full}/x", f"{full}/y"]]
    given[which] = set(given[which])
    with pytest.raises(TypeError, match="no order"):
        getattr(xet, call)(*given)
    assert contents(xet, full) == {name: name.encode() for name in NAMES}


@pytest.mark.parametrize("wrong", [None, 5, b"acme/x/main/a", [None], [5], [b"acme/x/main/a"]])
@pytest.mark.parametrize(
    "call",
    [
        lambda xet, path: xet.cat(path),
        lambda xet, path: xet.rm(path),
        lambda xet, path: xet.cp(path, "acme/x/main/b"),
        lambda xet, path: xet.mv(path, "acme/x/main/b"),
        lambda xet, path: xet.cp("acme/x/main/b", path),
        lambda xet, path: xet.put(path, "acme/x/main/b"),
        lambda xet, path: xet.get(path, "b"),
        lambda xet, path: xet.open(path),
        lambda xet, path: xet.open(path, "wb"),
        lambda xet, path: xet.info(path),
        lambda xet, path: xet.exists(path),
        lambda xet, path: xet.pipe(path, b"x"),
        lambda xet, path: xet.rm_file(path),
    ],
)
def test_what_is_no_path(xet: pyxet.XetFS, call: Callable[[pyxet.XetFS, Any], Any], wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"a path \(?is a str|expected a path|a path is"):
        call(xet, wrong)


def test_an_open_file_is_one_source_or_target(xet: pyxet.XetFS, full: str) -> None:
    xet.put(io.BytesIO(b"line\nline\n"), f"{full}/lines")
    target = io.BytesIO()
    xet.get(f"{full}/lines", target)
    assert target.getvalue() == b"line\nline\n"
    xet.pipe(f"{full}/folder/in", b"x")
    with pytest.raises(IsADirectoryError, match="folder"):
        xet.get_file(f"{full}/folder", io.BytesIO())


@pytest.mark.parametrize("source", ["", "acme", "{repo}", "{repo}/main", "{repo}/", "xet://{repo}"])
@pytest.mark.parametrize(
    "call",
    [
        lambda xet, source, target: xet.mv(source, target),
        lambda xet, source, target: xet.mv(source, target, recursive=True),
        lambda xet, source, target: xet.mv([source], target),
        lambda xet, source, target: xet.mv([source], [target]),
        lambda xet, source, target: xet.mv(source, target, maxdepth=1),
        lambda xet, source, target: xet.mv_file(source, target),
        lambda xet, source, target: xet.rename(source, target),
    ],
)
def test_what_is_above_files_is_not_moved(
    xet: pyxet.XetFS, repo: str, full: str, call: Callable[..., Any], source: str
) -> None:
    with pytest.raises(pyxet.errors.XetURLError, match="not the path of a file"):
        call(xet, source.format(repo=repo), f"{full}/there")
    assert contents(xet, full) == {name: name.encode() for name in NAMES}


def test_patterns_of_branches_are_not_moved(xet: pyxet.XetFS, repo: str, full: str) -> None:
    with pytest.raises(pyxet.errors.XetURLError, match="not the path of a file"):
        xet.mv(f"{repo}/m*", f"{full}/there/")
    with pytest.raises(pyxet.errors.XetURLError, match="not the path of a file"):
        xet.mv([f"{repo}/*"], f"{full}/there/")
    assert contents(xet, full) == {name: name.encode() for name in NAMES}


def test_one_file_under_two_names(xet: pyxet.XetFS, main: str) -> None:
    """One of the contents would be lost without a word."""
    twice = {f"{main}/a": b"1", f"xet://{main}/a": b"2"}
    for call in (xet.pipe, xet.stage_many):
        with pytest.raises(pyxet.XetURLError, match="written in two ways"):
            call(twice)
    assert not xet.exists(f"{main}/a")


def test_lists_for_mappings_and_paths_for_lists(xet: Any, main: str) -> None:
    with pytest.raises(TypeError, match="a mapping of paths"):
        xet.stage_many([f"{main}/a"])
    with pytest.raises(TypeError, match="a list of paths"):
        xet.commit(main, [], delete=f"{main}/a")


def test_what_to_do_with_errors_is_not_misspelt(xet: Any, main: str) -> None:
    """Errors would be returned among the contents."""
    names = [f"{main}/nope"]
    for call in (xet.cat, lambda paths, **options: xet.cat_ranges(paths, 0, 1, **options)):
        with pytest.raises(pyxet.ConfigError, match="'omit'"):
            call(names, on_error="ommit")


def test_numbers_of_sources_and_targets(xet: pyxet.XetFS, full: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    calls: list[Callable[[list[str]], Any]] = [
        lambda targets: xet.put([f"{tmp_path}/a"], [f"{full}/{name}" for name in targets]),
        lambda targets: xet.get([f"{full}/a"], [f"{tmp_path}/{name}" for name in targets]),
        lambda targets: xet.cp([f"{full}/a"], [f"{full}/{name}" for name in targets]),
        lambda targets: xet.mv([f"{full}/a"], [f"{full}/{name}" for name in targets]),
    ]
    for call in calls:
        for targets in (["x", "y"], []):
            with pytest.raises(ValueError, match=f"1 sources and {len(targets)} targets"):
                call(targets)


def test_patterns_of_files_to_upload_are_also_for_lists_with_targets(xet: Any, main: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    names = ["a.csv", "b.log", "in/c.csv", "in/d.log"]
    for name in names:
        (tmp_path / name).write_text(name)
    ways: list[dict[str, Any]] = [{"include": "*.csv"}, {"exclude": ["*.log"]}]
    for number, options in enumerate(ways):
        top = f"{main}/{number}"
        xet.put([f"{tmp_path}/{name}" for name in names[:2]], [f"{top}/{name}" for name in names[:2]], **options)
        assert xet.find(top) == [f"{top}/a.csv"]
        given = [f"{tmp_path}/{name}" for name in ("a.csv", "b.log", "in")]
        xet.put(given, [f"{top}/all/{name}" for name in ("a.csv", "b.log", "in")], recursive=True, **options)
        assert xet.find(f"{top}/all") == [f"{top}/all/a.csv", f"{top}/all/in/c.csv"]
        with pytest.raises(IsADirectoryError):
            xet.put([f"{tmp_path}/in"], [f"{top}/in"], **options)
