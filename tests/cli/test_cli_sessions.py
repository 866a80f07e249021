"""Sessions that the documentation of the first pyxet showed, as they were typed there, apart from the endpoint and names."""

from __future__ import annotations

import shlex
import uuid
from collections.abc import Callable

import pytest
from support.cli import Cli

import pyxet

Type = Callable[[str], str]


@pytest.fixture
def user(cli: Cli) -> str:
    """Somebody new, who has logged in and has files."""
    name = f"user-{uuid.uuid4().hex[:8]}"
    token = cli.endpoint.add_token(name)
    cli.variables["XET_USER_TOKEN"] = ""
    cli("login", "-u", name, "-e", f"{name}@acme.example", "-t", token)
    (cli.folder / "titanic.csv").write_text("name,age\nKate,30\n")
    (cli.folder / "data" / "2026").mkdir(parents=True)
    (cli.folder / "data" / "a.csv").write_text("a\n")
    (cli.folder / "data" / "2026" / "b.csv").write_text("b\n")
    return name


@pytest.fixture
def typed(cli: Cli, user: str) -> Type:
    """Types a line in a shell, where ``user`` stands for the name of whoever types; gives what is shown."""

    def run(line: str) -> str:
        program, *words = shlex.split(line.replace("user/", f"{user}/"))
        assert program == "xet"
        return cli(*words).out.replace(f"{user}/", "user/")

    return run


def test_up_and_down(typed: Type, cli: Cli) -> None:
    typed("xet repo make xet://user/titanic")
    assert typed("xet ls xet://user/titanic") == "main\n"
    typed("xet cp titanic.csv xet://user/titanic/main/titanic.csv")
    assert typed("xet ls xet://user/titanic/main") == ".gitattributes\ntitanic.csv\n"
    typed("xet cp xet://user/titanic/main/titanic.csv copy.csv")
    assert (cli.folder / "copy.csv").read_text() == (cli.folder / "titanic.csv").read_text()
    typed("xet cp xet://user/titanic/main/titanic.csv .")
    typed("xet cp -r data xet://user/titanic/main/data -m 'The data'")
    assert typed("xet ls -r xet://user/titanic/main") == ".gitattributes\ndata/2026/b.csv\ndata/a.csv\ntitanic.csv\n"
    typed("xet cp -r xet://user/titanic/main/data/ local")
    assert sorted(str(path.relative_to(cli.folder / "local")) for path in (cli.folder / "local").rglob("*.csv")) == [
        "2026/b.csv", "a.csv",
    ]  # fmt: skip
    assert typed("xet cat xet://user/titanic/main/data/a.csv") == "a\n"
    assert "xet://" in typed("xet info xet://user/titanic/main/titanic.csv")
    assert typed("xet log xet://user/titanic/main").count("The data") == 1


def test_between_branches(typed: Type) -> None:
    typed("xet repo make xet://user/titanic --private")
    typed("xet cp titanic.csv xet://user/titanic/main/")
    typed("xet branch make xet://user/titanic main experiment-1")
    assert [line.split()[0] for line in typed("xet branch ls xet://user/titanic").splitlines()] == [
        "experiment-1",
        "main",
    ]
    typed("xet cp xet://user/titanic/main/titanic.csv xet://user/titanic/experiment-1/data/copy.csv")
    assert typed("xet ls xet://user/titanic/experiment-1") == ".gitattributes\ndata/\ntitanic.csv\n"
    typed("xet mv xet://user/titanic/experiment-1/data/copy.csv xet://user/titanic/experiment-1/moved.csv")
    typed("xet rm xet://user/titanic/experiment-1/titanic.csv")
    assert typed("xet ls xet://user/titanic/experiment-1") == ".gitattributes\nmoved.csv\n"
    assert typed("xet ls xet://user/titanic/main") == ".gitattributes\ntitanic.csv\n"
    typed("xet branch del xet://user/titanic experiment-1 --yes")
    assert typed("xet ls xet://user/titanic") == "main\n"


def test_syncing_a_folder(typed: Type, cli: Cli) -> None:
    typed("xet repo make xet://user/titanic")
    typed("xet sync data xet://user/titanic/main/data")
    assert typed("xet ls -r xet://user/titanic/main/data") == "2026/b.csv\na.csv\n"
    before = typed("xet log xet://user/titanic/main")
    typed("xet sync data xet://user/titanic/main/data")
    assert typed("xet log xet://user/titanic/main") == before
    (cli.folder / "data" / "c.csv").write_text("new\n")
    typed("xet sync data xet://user/titanic/main/data")
    assert typed("xet ls xet://user/titanic/main/data") == "2026/\na.csv\nc.csv\n"
    typed("xet sync xet://user/titanic/main/data back")
    assert (cli.folder / "back" / "2026" / "b.csv").read_text() == "b\n"


def test_repositories(typed: Type, xet: pyxet.XetFS, main: str) -> None:
    """A repository of somebody else is forked, and the fork gets another name."""
    source = main.removesuffix("/main")
    xet.pipe_file(f"{main}/titanic.csv", b"theirs\n")
    typed(f"xet repo fork xet://{source} xet://user/titanic")
    assert typed("xet cat xet://user/titanic/main/titanic.csv") == "theirs\n"
    typed("xet cp titanic.csv xet://user/titanic/main/titanic.csv")
    assert xet.cat(f"{main}/titanic.csv") == b"theirs\n"
    typed("xet repo rename xet://user/titanic xet://user/passengers")
    assert typed("xet ls xet://user/passengers/main") == "titanic.csv\n"
    assert "user/passengers" in typed("xet repo ls") + typed("xet ls")
    typed("xet repo del xet://user/passengers --yes")
    assert "passengers" not in typed("xet ls")


def test_time_travel(typed: Type, cli: Cli, user: str) -> None:
    typed("xet repo make xet://user/titanic")
    typed("xet cp titanic.csv xet://user/titanic/main/")
    assert typed("xet ls 'xet://user/titanic/main@{0.seconds.ago}'") == ".gitattributes\ntitanic.csv\n"
    [first] = [entry for entry in cli("log", f"{user}/titanic", "--json").json if "initial" in entry["message"]]
    commit = pyxet.XetFS(cli.endpoint.url, token=cli.endpoint.token).log(f"{user}/titanic/main", limit=1)[0]
    (cli.folder / "titanic.csv").write_text("name,age\n")
    typed("xet cp titanic.csv xet://user/titanic/main/titanic.csv")
    typed(f"xet cp xet://user/titanic/{commit.id}/titanic.csv old.csv")
    assert (cli.folder / "old.csv").read_text() == "name,age\nKate,30\n"
    assert typed(f"xet ls xet://user/titanic/{first['id']}") == ".gitattributes\n"
    typed("xet cp 'xet://user/titanic/main@{0.seconds.ago}/titanic.csv' new.csv")
    assert (cli.folder / "new.csv").read_text() == "name,age\n"
    told = cli("cp", "titanic.csv", f"xet://{user}/titanic/main@{{5.minutes.ago}}/titanic.csv", code=1).err
    assert "point in time" in told
