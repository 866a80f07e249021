"""Names that local files cannot have, on this platform or another: refused before anything is written, or escaped."""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.windows import pretended

import pyxet
from pyxet import local_rules
from pyxet.cli import run
from pyxet.cli.paths import place
from pyxet.config import embedded_root, resolve_endpoint
from pyxet.errors import ConfigError, LocalNameError
from pyxet.local_rules import LocalNames, LocalRules, case_rules, escaped, is_local, of_file_url, problem, with_slashes
from pyxet.testing import LocalEndpoint

BAD = {
    "aux": "%61ux",
    "AUX.txt": "%41UX.txt",
    "con.tar.gz": "%63on.tar.gz",
    "con .txt": "%63on .txt",
    "COM1": "%43OM1",
    "lpt¹": "%6Cpt¹",
    "conin$": "%63onin$",
    "a:b": "a%3Ab",
    "what?.csv": "what%3F.csv",
    "a\\b": "a%5Cb",
    "..\\up": "..%5Cup",
    "tab\there": "tab%09here",
    "ends.": "ends%2E",
    "ends ": "ends%20",
    "two..": "two.%2E",
    "x" * 300: None,
}
GOOD = ["a", ".hidden", "auxiliary", "con-1.txt", "COM10", "console.log", "a b", "100%", "%zz", "ü", "nul_", "com"]


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_rules, "PLATFORM", "win32")


@pytest.fixture
def folding(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that does not tell cases apart, nor how characters are composed."""
    monkeypatch.setattr(local_rules, "case_rules", lambda folder: (True, True))


@pytest.mark.parametrize("name", BAD)
def test_names_that_windows_does_not_have(windows: None, name: str) -> None:
    assert problem(name) is not None
    other = escaped(name)
    assert problem(other) is None
    if BAD[name] is not None:
        assert other == BAD[name]
        assert unquote(other) == name


@pytest.mark.parametrize("name", GOOD)
def test_names_that_all_have(windows: None, name: str) -> None:
    assert problem(name) is None
    assert escaped(name) == name


@given(st.lists(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1), min_size=1))
def test_escaped_names_are_possible_and_stay_apart(names: list[str]) -> None:
    before = local_rules.PLATFORM
    local_rules.PLATFORM = "win32"
    try:
        others = {name: escaped(name) for name in names if name not in (".", "..")}
        assert not [other for other in others.values() if problem(other)]
        assert all(unquote(other) == name for name, other in others.items() if len(other) < 200)
        assert len(set(others.values())) == len(others)
    finally:
        local_rules.PLATFORM = before


def test_long_names_keep_their_ends() -> None:
    other = escaped("ä" * 200 + ".parquet")
    assert other.startswith("ä" * 50)
    assert other.endswith(".parquet")
    assert len(os.fsencode(other)) <= 255
    assert other != escaped("ä" * 201 + ".parquet")


@pytest.mark.parametrize("names", ["ignore", None])
def test_other_words_are_refused(xet: pyxet.XetFS, main: str, tmp_path: Path, names: Any) -> None:
    for call in (xet.get, xet.get_file):
        with pytest.raises(ValueError, match="expected 'refuse' or 'escape'"):
            call(f"{main}/a", str(tmp_path / "a"), names=names)


# -- the ways in which files come here ---------------------------------------------------------------------------------

Way = Callable[[Any, str, Path, LocalNames], None]


def by_get(xet: pyxet.XetFS, main: str, target: Path, names: LocalNames) -> None:
    xet.get(f"{main}/", str(target), recursive=True, names=names)


def by_pairs(xet: pyxet.XetFS, main: str, target: Path, names: LocalNames) -> None:
    found = xet.find(main)
    xet.get(found, [f"{target}/{path.removeprefix(f'{main}/')}" for path in found], names=names)


def by_pattern(xet: pyxet.XetFS, main: str, target: Path, names: LocalNames) -> None:
    xet.get(f"{main}/**", str(target), recursive=True, names=names)


def by_download(xet: pyxet.XetFS, main: str, target: Path, names: LocalNames) -> None:
    xet.download(f"{main}/", str(target), recursive=True, names=names)


def by_transaction(xet: pyxet.XetFS, main: str, target: Path, names: LocalNames) -> None:
    with xet.transaction as tr:
        tr.fs.get(f"{main}/", str(target), recursive=True, names=names)


def by_snapshot(xet: pyxet.XetFS, main: str, target: Path, names: LocalNames) -> None:
    xet.snapshot(main, target, names=names)


@pytest.fixture(params=[by_snapshot, by_get, by_pairs, by_pattern, by_download, by_transaction])
def way(request: pytest.FixtureRequest) -> Way:
    found: Way = request.param
    return found


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.mark.parametrize("name", ["aux", "data/con.txt", "a:b", "data/nul/deep/x", "ends.", "sub /x", "a\\b"])
def test_nothing_is_written_where_a_name_cannot_be(
    xet: pyxet.XetFS, main: str, target: Path, way: Way, name: str
) -> None:
    if way is by_pairs and "\\" in name:
        # What one writes oneself there are two names.
        name = "a|b"
    xet.pipe({f"{main}/a.txt": b"a", f"{main}/{name}": b"bad", f"{main}/z": b"z" * 100_000})
    with pretended(), pytest.raises(LocalNameError, match="names=") as caught:
        way(xet, main, target, "refuse")
    # The file, or the folder that it is in.
    told = str(caught.value).partition(" cannot be")[0].split("/", 3)[3]
    assert name.startswith(told)
    assert not os.path.lexists(target)
    with pretended():
        way(xet, main, target, "escape")
    found = {path.relative_to(target).as_posix(): path.read_bytes() for path in target.rglob("*") if path.is_file()}
    assert b"bad" in found.values()
    if len(name) < 255:
        assert found[next(path for path in found if unquote(path) == name)] == b"bad"
    assert (found["a.txt"], found["z"]) == (b"a", b"z" * 100_000)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("README", "readme"),
        ("Data/a", "data/a"),
        ("Data/a", "data/b"),
        ("data", "Data/x"),
        ("Stra\N{LATIN SMALL LETTER SHARP S}e", "STRASSE"),
        (unicodedata.normalize("NFC", "caf\N{LATIN SMALL LETTER E WITH ACUTE}"),
         unicodedata.normalize("NFD", "caf\N{LATIN SMALL LETTER E WITH ACUTE}")),
    ],
)  # fmt: skip
def test_two_names_that_are_one_here(
    xet: pyxet.XetFS, main: str, target: Path, way: Way, folding: None, first: str, second: str
) -> None:
    xet.pipe({f"{main}/{first}": b"first", f"{main}/{second}": b"second", f"{main}/Else": b"else"})
    with pytest.raises(LocalNameError, match="is the same file here"):
        way(xet, main, target, "refuse")
    assert not os.path.lexists(target)
    way(xet, main, target, "escape")
    found = {path.relative_to(target).as_posix(): path.read_bytes() for path in target.rglob("*") if path.is_file()}
    assert {unquote(path): data for path, data in found.items()} == {
        first: b"first",
        second: b"second",
        "Else": b"else",
    }
    assert "Else" in found
    folded = [unicodedata.normalize("NFC", path).casefold() for path in found]
    assert len(set(folded)) == len(folded)


def test_names_that_differ_in_case_are_two_files_where_they_are(
    xet: pyxet.XetFS, main: str, target: Path, way: Way
) -> None:
    assert case_rules(str(target.parent)) == (False, False)
    assert os.listdir(target.parent) == []
    xet.pipe({f"{main}/README": b"first", f"{main}/readme": b"second"})
    way(xet, main, target, "refuse")
    assert sorted(os.listdir(target)) == ["README", "readme"]


def test_only_the_rules_that_hold_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    e = "\N{LATIN SMALL LETTER E WITH ACUTE}"
    forms = [("1", f"{tmp_path}/{e}"), ("2", f"{tmp_path}/{unicodedata.normalize('NFD', e)}")]
    cases = [("1", f"{tmp_path}/a"), ("2", f"{tmp_path}/A")]
    monkeypatch.setattr(local_rules, "case_rules", lambda folder: (True, False))
    assert LocalRules().targets(forms) == [target for _, target in forms]
    with pytest.raises(LocalNameError):
        LocalRules().targets(cases)
    monkeypatch.setattr(local_rules, "case_rules", lambda folder: (False, True))
    assert LocalRules().targets(cases) == [target for _, target in cases]
    with pytest.raises(LocalNameError):
        LocalRules().targets(forms)


def test_where_no_file_can_be_made_the_platform_decides(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for platform, expected in (("linux", (False, False)), ("darwin", (True, True)), ("win32", (True, False))):
        monkeypatch.setattr(local_rules, "PLATFORM", platform)
        assert case_rules(str(tmp_path / "not there")) == expected


@pytest.mark.parametrize("where", ["stored", "pending"])
def test_one_file(xet: pyxet.XetFS, main: str, tmp_path: Path, where: str) -> None:
    with xet.transaction as tr:
        tr.fs.pipe_file(f"{main}/aux", b"x" * 10)
        fs = tr.fs if where == "pending" else None
        if fs is not None:
            with pretended(), pytest.raises(LocalNameError, match=f"{main}/aux.*a device"):
                fs.get_file(f"{main}/aux", str(tmp_path / "aux"))
            with pretended():
                fs.get_file(f"{main}/aux", str(tmp_path / "aux"), names="escape")
    if where == "stored":
        with pretended(), pytest.raises(LocalNameError, match=f"{main}/aux.*a device"):
            xet.get_file(f"{main}/aux", str(tmp_path / "aux"))
        with pretended():
            xet.get_file(f"{main}/aux", str(tmp_path / "aux"), names="escape")
    assert os.listdir(tmp_path) == ["%61ux"]


def test_what_is_there_is_not_looked_at(xet: pyxet.XetFS, main: str, tmp_path: Path) -> None:
    """A folder that the system has made has a name that it can have."""
    there = tmp_path / "a:b"
    there.mkdir()
    xet.pipe_file(f"{main}/a", b"x")
    with pretended():
        xet.get_file(f"{main}/a", str(there / "a"))
    assert (there / "a").read_bytes() == b"x"


# -- the command -------------------------------------------------------------------------------------------------------


@pytest.fixture
def command(shared_endpoint: LocalEndpoint, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """The command in this process, where rules can be changed."""
    monkeypatch.setenv("XET_ENDPOINT", shared_endpoint.url)
    monkeypatch.setenv("XET_USER_TOKEN", shared_endpoint.token)
    return lambda *words: run(words)


@pytest.mark.parametrize("words", [["cp", "-r"], ["sync"]])
def test_the_command_refuses_before_it_writes(
    xet: pyxet.XetFS, main: str, command: Callable[..., int], target: Path, capsys: pytest.CaptureFixture[str],
    words: list[str],
) -> None:  # fmt: skip
    xet.pipe({f"{main}/a": b"a", f"{main}/d/what?": b"q", f"{main}/z": b"z"})
    with pretended():
        assert command(*words, f"{main}/", str(target)) == 1
        told = capsys.readouterr().err
        assert "/d/what? cannot be" in told
        assert "--names escape" in told
        assert not os.path.lexists(target)
        for again in range(2):
            assert command(*words, "--json", "--names", "escape", f"{main}/", str(target)) == 0
            assert (target / "d" / "what%3F").read_bytes() == b"q"
            done = json.loads(capsys.readouterr().out)
            assert (done["files"], done["skipped"]) == ((0, 3) if again and words == ["sync"] else (3, 0))
    assert len([path for path in target.rglob("*") if path.is_file()]) == 3


@pytest.mark.parametrize("words", [["cp", "-r"], ["sync", "--delete"]])
def test_the_command_where_cases_are_one(
    xet: pyxet.XetFS, main: str, command: Callable[..., int], target: Path, monkeypatch: pytest.MonkeyPatch, folding: None,
    capsys: pytest.CaptureFixture[str], words: list[str],
) -> None:  # fmt: skip
    xet.pipe({f"{main}/README": b"1", f"{main}/readme": b"2", f"{main}/a": b"a"})
    assert command(*words, main, str(target)) == 1
    assert "is the same file here" in capsys.readouterr().err
    assert not os.path.lexists(target)
    for _ in range(2):
        assert command(*words, "--names", "escape", f"{main}/", str(target)) == 0
        assert sorted(os.listdir(target)) == ["%52%45%41%44%4D%45", "a", "readme"]


@pytest.mark.parametrize("windows", [True, False])
def test_which_paths_are_local(monkeypatch: pytest.MonkeyPatch, windows: bool) -> None:
    monkeypatch.setattr(local_rules, "PLATFORM", "win32" if windows else "linux")
    for path in ("C:/x/y/z/w", "C:\\x\\y", "c:\\", "D://x/y/z", "/x", "./acme/r/main", "~/x", ".."):
        assert place(path).kind == "local", path
        assert is_local(path)
    assert place("C:\\x\\y").path == ("C:/x/y" if windows else "C:\\x\\y")
    assert place("s3://bucket/x").kind == "other"
    assert place("xet://acme/r/main/x").kind == place("acme/r/main/x").kind == "xet"
    assert place("file:///C:/x").path == of_file_url("/C:/x") == ("C:/x" if windows else "/C:/x")
    assert with_slashes("a\\b") == ("a/b" if windows else "a\\b")
    if windows:
        for path in ("\\\\server\\share\\x", ".\\acme\\r", "..\\x", "c:x"):
            assert place(path).kind == "local", path
        # Relative to where the process is on that drive, which only Windows knows; nothing is called "c:x".
        monkeypatch.setattr("ntpath.abspath", lambda path: f"C:\\now\\{path[2:]}")
        assert place("c:x").path == "C:/now/x"
        assert with_slashes("c:d\\x") == "C:/now/d/x"


@pytest.mark.parametrize(
    ("url", "path", "normal"),
    [
        ("file:///C:/some/store", "C:/some/store", "file:///C:/some/store"),
        ("file://C:/some/store/", "C:/some/store", "file:///C:/some/store"),
        ("file://C:\\some\\store", "C:/some/store", "file:///C:/some/store"),
        ("file:///C:\\a b\\100%", "C:/a b/100%", "file:///C:/a%20b/100%25"),
        ("file:///C:/a%20b", "C:/a b", "file:///C:/a%20b"),
        ("file://localhost/C:/store", "C:/store", "file:///C:/store"),
        ("file:///store", "/store", "file:///store"),
        ("file://server/share/store", "//server/share/store", "file://server/share/store"),
    ],
)
def test_the_folder_of_an_endpoint_on_windows(
    monkeypatch: pytest.MonkeyPatch, url: str, path: str, normal: str
) -> None:
    monkeypatch.setattr(local_rules, "PLATFORM", "win32")
    assert resolve_endpoint(url) == resolve_endpoint(normal) == normal
    assert embedded_root(normal) == Path(path)
    assert place(url.replace("%20", " ")).path.rstrip("/") == path


@pytest.mark.parametrize("url", ["file:relative", "file:C:relative"])
def test_a_folder_that_windows_does_not_take_for_absolute(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setattr(local_rules, "PLATFORM", "win32")
    with pytest.raises(ConfigError, match="file:///absolute/directory"):
        resolve_endpoint(url)


def test_backslashes_of_windows_are_separators(windows: None, xet: pyxet.XetFS, main: str, tmp_path: Path) -> None:
    xet.pipe({f"{main}/a": b"1", f"{main}/d/b": b"2"})
    text = f"{tmp_path}/x/y".replace("/", "\\").replace("\\", "/", 1)
    xet.get_file(f"{main}/a", f"{text}\\a")
    xet.get([f"{main}/a", f"{main}/d/b"], [f"{text}\\one", f"{text}\\two"])
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()} == {
        "x/y/a", "x/y/one", "x/y/two",
    }  # fmt: skip
