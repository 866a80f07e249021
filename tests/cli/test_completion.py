"""Completion in real shells: local names, then repositories, branches and paths, as the shell quotes them."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.cli import Cli
from support.shells import SHELLS, running

import pyxet
from pyxet.cli.shells import split

# Each key is a process of its own, and a shell waits for it: a busy machine takes seconds for one.
pytestmark = [pytest.mark.timeout(600), pytest.mark.needs("pty", "shells")]


@pytest.fixture
def place(cli: Cli, xet: pyxet.XetFS, repo: str) -> str:
    """A repository with names of all kinds, and a folder with some."""
    xet.pipe(
        {
            f"{repo}/main/data/b.txt": b"b",
            f"{repo}/main/data/deep/c.txt": b"c",
            f"{repo}/main/it's 5 $ (new).txt": b"it",
            f"{repo}/main/a:b=c@d.txt": b"a",
        }
    )
    xet.make_branch(repo, "main", "work/one")
    xet.make_tag(repo, "v1.0", "main")
    for name in ("local file.txt", "folder/inner.txt", "x:y.csv", "$five's.txt", ".hidden"):
        path = cli.folder / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    return repo


@pytest.mark.parametrize("shell", SHELLS)
def test_names_of_this_machine(shell: str, cli: Cli, place: str) -> None:
    home = Path(cli.environment["HOME"])
    (home / "at home.txt").touch()
    with running(shell, cli) as typing:
        assert typing.arguments("xet cp loc⇥x") == ["cp", "local file.txt", "x"]
        assert typing.arguments("xet cp fol⇥in⇥x") == ["cp", "folder/inner.txt", "x"]
        assert [word.rstrip("/") for word in typing.arguments("xet sync ./fol⇥ x")] == ["sync", "./folder", "x"]
        assert typing.arguments("xet cp x:⇥x") == ["cp", "x:y.csv", "x"]
        assert typing.arguments("xet cp 'loc⇥ x") == ["cp", "local file.txt", "x"]
        assert typing.arguments("xet cp \\$f⇥x") == ["cp", "$five's.txt", "x"]
        assert typing.arguments("xet cp .hi⇥x") == ["cp", ".hidden", "x"]
        assert typing.arguments("xet cp ~/at⇥x") == ["cp", f"{home}/at home.txt", "x"]
        assert [word.rstrip("/") for word in typing.arguments("xet serve --root fol⇥")] == ["serve", "--root", "folder"]


@pytest.mark.parametrize("shell", SHELLS)
def test_repositories_branches_and_paths(shell: str, cli: Cli, place: str) -> None:
    host = cli.endpoint.url.partition("://")[2]
    with running(shell, cli) as typing:
        assert typing.arguments(f"xet cat acm⇥{place[5:-3]}⇥ma⇥da⇥b⇥x") == ["cat", f"{place}/main/data/b.txt", "x"]
        assert typing.arguments(f"xet cp xet://{place[:-3]}⇥ma⇥da⇥de⇥c⇥x") == [
            "cp", f"xet://{place}/main/data/deep/c.txt", "x",
        ]  # fmt: skip
        assert typing.arguments(f"xet ls xet://{host}:{place}/m⇥da⇥") == ["ls", f"xet://{host}:{place}/main/data/"]
        assert typing.arguments(f"xet cat {place}/main/it⇥x") == ["cat", f"{place}/main/it's 5 $ (new).txt", "x"]
        assert typing.arguments(f"xet cat {place}/main/a⇥x") == ["cat", f"{place}/main/a:b=c@d.txt", "x"]
        assert typing.arguments(f'xet cat "{place}/main/da⇥b⇥ x') == ["cat", f"{place}/main/data/b.txt", "x"]
        assert typing.arguments(f"xet ls {place}/wo⇥") == ["ls", f"{place}/work%2Fone/"]
        assert typing.arguments(f"xet ls {place}/v1⇥") == ["ls", f"{place}/v1.0/"]


@pytest.mark.parametrize("shell", SHELLS)
def test_commands_options_and_branches(shell: str, cli: Cli, place: str) -> None:
    with running(shell, cli) as typing:
        assert typing.arguments("xet wh⇥x") == ["whoami", "x"]
        assert typing.arguments("xet br⇥mak⇥x") == ["branch", "make", "x"]
        assert typing.arguments("xet ls --rec⇥x") == ["ls", "--recursive", "x"]
        assert typing.arguments(f"xet diff {place[:-3]}⇥wor⇥v1⇥x") == ["diff", place, "work/one", "v1.0", "x"]
        assert typing.arguments("xet repo ls --type data⇥x") == ["repo", "ls", "--type", "dataset", "x"]
        # In front of the command, and with an endpoint of its own.
        assert typing.arguments("NO_COLOR=1 xet version --js⇥x") == ["version", "--json", "x"]
        assert typing.arguments(f"xet ls --endpoint localhost:1 {place}/ma⇥") == [
            "ls", "--endpoint", "localhost:1", f"{place}/ma",
        ]  # fmt: skip


def test_several_answers_are_listed_without_what_is_before_them(cli: Cli, place: str) -> None:
    """In bash, whose menu is plain text."""
    with running("bash", cli) as typing:
        before = len(typing.shown)
        typing.arguments(f"xet ls {place}/main/data/⇥⇥")
        listed = typing.shown[before:].splitlines()
        assert any(line.split() == ["b.txt", "deep/"] for line in listed)


@pytest.mark.parametrize(
    ("line", "words", "last", "kept"),
    [
        ("xet", [], "xet", 0),
        ("xet ", [], "", 0),
        ("xet cp a b", ["cp", "a"], "b", 0),
        ("xet cp 'a b' ", ["cp", "a b"], "", 0),
        ("xet cp 'a b", ["cp"], "a b", 0),
        ("xet cp a'b c", ["cp"], "ab c", 1),
        ("xet cp a\\ b", ["cp"], "a b", 0),
        ("xet cp xet://a", ["cp"], "xet://a", 4),
        ("xet cp xet\\://a", ["cp"], "xet://a", 0),
        ("xet cp 'xet://a", ["cp"], "xet://a", 0),
        ("xet cp 'a:b'/c", ["cp"], "a:b/c", 0),
        ('xet cp "a\\"b\\c', ["cp"], 'a"b\\c', 0),
        ("xet cp ''", ["cp"], "", 0),
        ("A=1 B= xet cp a", ["cp"], "a", 0),
        ("xet ls --endpoint=local", ["ls"], "--endpoint=local", 11),
        ("xet cp a\\", ["cp"], "a", 0),
    ],
)
def test_lines_are_taken_apart_like_a_shell_does(line: str, words: list[str], last: str, kept: int) -> None:
    assert split(line, " \t\n\"'@><=;|&(:") == (words, last, kept)
