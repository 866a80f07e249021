"""What all commands share: start-up, help, options, errors and exit codes."""

from __future__ import annotations

import errno
import json
import os
import re
import shlex
import signal
import socket
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn

import click
import pytest
from support.capabilities import need
from support.cli import Cli

import pyxet
from pyxet._shown import human_size
from pyxet.cli.commands import COMMANDS
from pyxet.cli.formats import columns, parse_size, printable
from pyxet.cli.paths import place, remote, writable
from pyxet.cli.running import app, explained
from pyxet.cli.session import CommandError, Session
from pyxet.protocol import kernels
from pyxet.testing import LocalEndpoint

TOP = click.Context(app, info_name="xet")


def commands(group: click.Group = app, context: click.Context = TOP) -> dict[str, tuple[click.Command, click.Context]]:
    """All commands by what is typed, groups included."""
    found: dict[str, tuple[click.Command, click.Context]] = {}
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        inner = click.Context(command, info_name=name, parent=context)
        found[inner.command_path] = (command, inner)
        if isinstance(command, click.Group):
            found |= commands(command, inner)
    return found


# -- help --------------------------------------------------------------------------------------------------------------


def test_the_version(cli: Cli) -> None:
    cli.fresh = True
    assert cli("version").lines == [f"pyxet {pyxet.__version__}"]
    assert cli("version", "--json").json["pyxet"] == pyxet.__version__
    assert cli("--version").lines == [f"pyxet {pyxet.__version__}"]


def test_the_version_for_a_bug_report(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that pyxet needs is named, and nothing of the user."""
    monkeypatch.setenv("XET_USER_TOKEN", "xet-secret-token")
    cli.fresh = True
    done = cli("version", "--verbose")
    told = dict(re.split(r"  +", line, maxsplit=1) for line in done.lines)
    assert told == pyxet.versions()
    assert told["kernel"] == kernels.name
    assert {told["pyxet"], told["aiohttp"], told["msgspec"]} == {
        pyxet.__version__,
        *map(metadata.version, ("aiohttp", "msgspec")),
    }
    assert "pygit2" in told
    assert "secret" not in done.out + done.err
    assert cli("version", "-v", "--json").json == told


def test_what_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of pyxet itself, where it is a source tree on the path."""

    def nothing(name: str) -> NoReturn:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", nothing)
    assert pyxet.versions()["aiohttp"] == "not installed"
    assert pyxet.versions()["pyxet"] == pyxet.__version__
    monkeypatch.setattr(metadata, "requires", nothing)
    assert "aiohttp" not in pyxet.versions()
    assert pyxet.versions()["hf-xet"] == "not installed"


def test_the_help_lists_the_commands(cli: Cli) -> None:
    cli.fresh = True
    done = cli("--help")
    assert done.err == ""
    for name, entry in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(entry.help)}$", done.out, re.MULTILINE)
    assert cli("-h").out == done.out


def test_every_command_has_help_with_an_example_and_the_common_options() -> None:
    command: Any
    for path, (command, context) in commands().items():
        text = command.get_help(context)
        assert command.help, path
        if path.count(" ") == 1:
            assert " ".join(text.split()).count(COMMANDS[path.removeprefix("xet ")].help) == 1
        for parameter in command.params:
            assert isinstance(parameter, click.Argument) or parameter.help, f"{path} {parameter.name}"
            if isinstance(parameter, click.Argument) and not parameter.required:
                [metavar] = parameter.get_usage_pieces(context)
                assert f"[{metavar.strip('[]')}]" in text.partition("\n\n")[0], path
        assert {"--quiet", "--debug", "--help"} <= set(re.findall(r"--[a-z-]+", text)), path
        at_home = path in ("xet version", "xet git transfer", "xet git credential")
        at_home = at_home or f"{path} ".startswith("xet serve admin ")
        assert ("--endpoint" in text) == (path != "xet serve" and not at_home), path
        assert ("--token" in text) == (path != "xet logout" and not at_home), path
        if not isinstance(command, click.Group):
            assert command.examples, path
            assert text.rstrip().endswith(command.examples[-1])


def test_the_examples_are_command_lines_that_are_understood() -> None:
    """Parsed, not run."""

    for path, (command, _) in commands().items():
        for line in getattr(command, "examples", ()):
            words = shlex.split(re.split(r" [|<>] ", line)[0])
            assert words[: path.count(" ") + 1] == path.split(), line
            command.make_context(path, words[path.count(" ") + 1 :], obj=Session())


def test_without_a_command(cli: Cli) -> None:
    assert "Commands:" in cli(code=2).err
    assert cli("nothing", code=2).err.splitlines() == ["xet: there is no command 'nothing'", "see xet --help"]
    assert cli("ls", "--nothing", code=2).err.endswith("see xet ls --help\n")
    assert "Traceback" not in cli("ls", "--nothing", "--debug", code=2).err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_installed(cli: Cli, shell: str) -> None:
    cli.variables |= {"XDG_DATA_HOME": "", "XDG_CONFIG_HOME": "", "ZDOTDIR": "", "SHELL": f"/usr/bin/{shell}"}
    home = Path(cli.environment["HOME"])
    if shell != "fish":
        (home / f".{shell}rc").write_text("unrelated")
    cli("--install-completion", shell)
    first = {path: path.read_text() for path in home.rglob("*") if path.is_file()}
    assert any("_XET_COMPLETE" in text for text in first.values())
    if shell != "fish":
        unrelated, line = first[home / f".{shell}rc"].splitlines()
        assert unrelated == "unrelated"
        assert Path(line.split()[1]).is_file()
    # The user's own shell, and nothing twice.
    assert shell in cli("--install-completion").err
    assert {path: path.read_text() for path in home.rglob("*") if path.is_file()} == first


@pytest.mark.parametrize("shell", ["tcsh", ""])
def test_there_is_no_completion_for_other_shells(cli: Cli, shell: str) -> None:
    cli.variables["SHELL"] = f"/bin/{shell}"
    assert "bash, zsh or fish" in cli("--install-completion", code=2).err
    assert "bash, zsh or fish" in cli("--install-completion", "csh", code=2).err


def test_completion_that_cannot_be_written(cli: Cli) -> None:
    (cli.folder / "file").write_text("")
    cli.variables["XDG_DATA_HOME"] = str(cli.folder / "file")
    assert str(cli.folder / "file") in cli("--install-completion", "bash", code=1).err


# -- errors ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (pyxet.XetURLError("x"), 2),
        (click.UsageError("x"), 2),
        (click.BadParameter("x"), 2),
        (click.FileError("x"), 1),
        (pyxet.ConfigError("x"), 1),
        (pyxet.NotSupportedError("x"), 1),
        (pyxet.EntryNotFoundError("x"), 3),
        (pyxet.RepositoryNotFoundError("x"), 3),
        (FileNotFoundError(errno.ENOENT, "No such file", "x"), 3),
        (pyxet.AuthenticationError("x"), 4),
        (pyxet.GatedRepositoryError("x"), 4),
        (PermissionError(errno.EACCES, "Permission denied", "x"), 4),
        (pyxet.ConflictError("x"), 5),
        (pyxet.AlreadyExistsError("x"), 5),
        (pyxet.EditConflictError("x"), 5),
        (FileExistsError(errno.EEXIST, "File exists", "x"), 5),
        (pyxet.ServerError("x"), 1),
        (pyxet.RequestTimeoutError("x"), 1),
        (CommandError("x", "y"), 1),
        (IsADirectoryError(errno.EISDIR, "Is a directory", "x"), 1),
        (KeyError("x"), 1),
        (KeyboardInterrupt(), 130),
        (click.Abort(), 130),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_each_error_has_its_exit_code(error: BaseException, code: int) -> None:
    session = Session()
    session.command = "xet some"
    found, lines = explained(error, session)
    assert found == code
    assert lines[0].startswith("xet some: ")
    assert len(lines) <= 2
    assert all(line and "\n" not in line for line in lines)


def test_no_answer_where_one_is_asked_for() -> None:
    try:
        raise EOFError
    except EOFError:
        error = click.Abort()
        error.__context__ = EOFError()
    assert explained(error, Session())[0] == 1


def test_a_traceback_only_with_debug(cli: Cli) -> None:
    cli.fresh = True
    plain = cli("cat", "acme/nothing/main/x", code=3).err
    assert plain.startswith("xet cat: ")
    assert "acme/nothing" in plain
    told = cli("cat", "acme/nothing/main/x", "--debug", code=3).err
    assert "Traceback" in told
    # Each time it is another request.
    request = re.compile(r"\(request [0-9a-f]{16}\)$", re.MULTILINE)
    assert len(request.findall(plain)) == 1
    assert request.sub("", told).endswith(request.sub("", plain))
    assert "Traceback" in cli("--debug", "cat", "acme/nothing/main/x", code=3).err


def test_nobody_there(cli: Cli) -> None:
    """At once, since each takes as long as it is tried again."""
    readers = [
        ("ls", "acme/x"), ("tree", "acme/x/main"), ("find", "acme/x/main"), ("du", "acme/x/main"), ("info", "acme/x/main"),
        ("cat", "acme/x/main/a"), ("head", "acme/x/main/a"), ("whoami",), ("login", "-u", "acme", "-t", "token"),
    ]  # fmt: skip
    running = [cli.start(*words, "--endpoint", "http://127.0.0.1:9") for words in readers]
    for words, process in zip(readers, running, strict=True):
        out, err = process.communicate(timeout=120)
        assert process.returncode == 1, words
        assert out == b""
        first, second = err.decode().splitlines()
        assert first.startswith(f"xet {words[0]}: ")
        assert "127.0.0.1:9" in first
        assert ("--force" if words[0] == "login" else "--endpoint") in second


@pytest.mark.needs("pty")
@pytest.mark.parametrize("words", [["ls", "acme/x"], ["cp", "--no-progress", "acme/x/main/a", "."]], ids=" ".join)
def test_a_terminal_is_told_that_nobody_is_there_yet(cli: Cli, words: list[str]) -> None:
    def told(*options: str) -> list[str]:
        leader, follower = os.openpty()
        with cli.start(*words, *options, "--endpoint", "http://127.0.0.1:9", stderr=follower) as process:
            os.close(follower)
            text = everything(leader)
        assert process.returncode == 1
        return text.splitlines()

    first, *_, problem, hint = told()
    assert first.startswith(f"xet {words[0]}: ")
    assert re.search(
        r"cannot connect to 127.0.0.1:9 \(Connection refused\); trying again in \d\.\d s \(2 of \d\)$", first
    )
    assert (problem.partition(" (")[0], "--endpoint" in hint) == (first.partition(" (")[0], True)
    assert len(told("--quiet")) == 2


def test_paths_at_different_endpoints(cli: Cli) -> None:
    there = cli.endpoint.url.removeprefix("http://")
    assert (
        "different endpoints"
        in cli("cat", f"xet://{there}:acme/x/main/a", "xet://localhost:1:acme/x/main/a", code=2).err
    )
    assert "another endpoint" in cli("ls", "xet://localhost:1:acme/x", "--endpoint", there, code=2).err


def test_the_endpoint_and_token_may_come_from_anywhere(cli: Cli, xet: pyxet.XetFS, repo: str) -> None:
    url, token = cli.endpoint.url, cli.endpoint.token
    xet.delete_repo(repo)
    xet.make_repo(repo, private=True)
    assert cli("ls", repo).lines == ["main"]
    cli.variables |= {"XET_ENDPOINT": "", "XET_USER_TOKEN": ""}
    assert cli("ls", repo, "--endpoint", url, "--token", token).lines == ["main"]
    assert cli("--endpoint", url, "--token", token, "ls", repo).lines == ["main"]
    named = f"xet://{url.removeprefix('http://')}:{repo}"
    assert cli("ls", named, "--token", token).lines == ["main"]
    cli("ls", named, code=3)


def test_a_url_that_names_the_default_endpoint_means_it(cli: Cli) -> None:
    """Also where that is http, which a URL of a host that is not this machine cannot say."""
    with LocalEndpoint(user="acme", host="127.0.0.2") as endpoint:
        cli.variables |= {"XET_ENDPOINT": endpoint.url, "XET_USER_TOKEN": endpoint.token}
        cli("repo", "make", "acme/x", "--private")
        url = cli("info", "acme/x", "--json").json["url"]
        assert "127.0.0.2" in url
        assert cli("ls", url).lines == ["main"]


def test_an_embedded_endpoint(cli: Cli) -> None:
    cli.fresh = True
    cli.variables |= {"XET_ENDPOINT": (cli.folder / "store").as_uri(), "XET_USER_TOKEN": "", "XET_USER_NAME": "acme"}
    assert cli("whoami").lines == ["acme"]
    assert cli("ls").lines == []


# -- outputs -----------------------------------------------------------------------------------------------------------


def test_a_reader_that_has_enough(cli: Cli, xet: pyxet.XetFS, main: str) -> None:
    xet.pipe_file(f"{main}/a.bin", b"line\n" * 400_000)
    xet.pipe({f"{main}/many/{'x' * 60}{number}": b"" for number in range(2000)})
    for words in (["cat", f"{main}/a.bin"], ["cat", f"{main}/a.bin", "--range", "5-"], ["find", main]):
        with cli.start(*words) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stdout.read(5)
            process.stdout.close()
            assert process.stderr.read() == b""
            assert process.wait(timeout=60) == 0


@pytest.mark.needs("signals")
@pytest.mark.parametrize("span", [[], ["--range", "0-50000000"]], ids=["whole", "range"])
def test_an_interrupt_ends_it(cli: Cli, xet: pyxet.XetFS, main: str, span: list[str]) -> None:
    """Also while it waits for somebody to read what it wrote."""
    cli.fresh = True
    xet.pipe_file(f"{main}/a.bin", os.urandom(1 << 20) * 60)
    with cli.start("cat", f"{main}/a.bin", *span) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(5)
        process.send_signal(signal.SIGINT)
        # Nobody reads on.
        assert process.wait(timeout=30) == 130
        assert process.stderr.read().decode() == "xet cat: interrupted\n"


@pytest.mark.needs("signals")
@pytest.mark.parametrize("words", [["ls", "acme/x"], ["whoami"], ["cat", "acme/x/main/a"]], ids=" ".join)
def test_an_interrupt_while_nobody_answers(cli: Cli, words: list[str]) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        cli.variables["XET_ENDPOINT"] = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with cli.start(*words) as process:
            connection, _ = silent.accept()
            assert connection.recv(10)
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=30) == 130
            assert process.stderr is not None
            assert process.stderr.read().decode() == f"xet {words[0]}: interrupted\n"
            connection.close()


def everything(leader: int) -> str:
    """What is written to a terminal until nobody can write to it any more."""
    found = b""
    # Linux says by an error that all ends of the other side are closed.
    with suppress(OSError):
        while piece := os.read(leader, 65536):
            found += piece
    os.close(leader)
    return found.decode().replace("\r\n", "\n")


def on_a_terminal(cli: Cli, *words: str) -> str:
    need("pty")
    leader, follower = os.openpty()
    with cli.start(*words, stdout=follower) as process:
        os.close(follower)
        found = everything(leader)
    assert process.returncode == 0
    return found


def test_colours_on_a_terminal_only_and_not_against_the_users_will(cli: Cli, xet: pyxet.XetFS, main: str) -> None:
    xet.pipe({f"{main}/folder/a": b"", f"{main}/b": b""})
    assert cli("ls", main).out == "b\nfolder/\n"
    assert on_a_terminal(cli, "ls", main) == "b\n\x1b[34m\x1b[1mfolder/\x1b[0m\n"
    cli.variables["NO_COLOR"] = "1"
    assert on_a_terminal(cli, "ls", main) == "b\nfolder/\n"


def test_names_cannot_command_the_terminal(cli: Cli, xet: pyxet.XetFS, main: str) -> None:
    xet.pipe_file(f"{main}/a\x1b]0;title\x07", b"")
    assert on_a_terminal(cli, "ls", main) == "a\\x1b]0;title\\x07\n"
    assert cli("ls", main).out == "a\x1b]0;title\x07\n"
    assert "\x1b" not in cli("cat", f"{main}/b\x1b[31m", code=3).err


def test_names_that_the_encoding_lacks(cli: Cli, xet: pyxet.XetFS, main: str) -> None:
    xet.pipe_file(f"{main}/ö€.txt", b"")
    assert cli("ls", main).out == "ö€.txt\n"
    # Which a Python reads when it starts.
    cli.fresh = True
    cli.variables["PYTHONIOENCODING"] = "latin-1"
    assert cli.run("ls", main)[0] == b"\xf6\\u20ac.txt\n"


def test_a_tree_that_the_encoding_lacks(cli: Cli, xet: pyxet.XetFS, main: str) -> None:
    xet.pipe({f"{main}/a/b.txt": b"", f"{main}/c.txt": b""})
    assert cli("tree", main).lines[1:4] == ["├── a", "│   └── b.txt", "└── c.txt"]
    cli.fresh = True
    cli.variables["PYTHONIOENCODING"] = "cp1252"
    assert cli("tree", main).lines[1:4] == ["|-- a", "|   `-- b.txt", "`-- c.txt"]


def test_json_is_json_whatever_the_encoding_lacks(cli: Cli, xet: pyxet.XetFS, main: str) -> None:
    name = "ö€\U0001f600.txt"
    xet.pipe_file(f"{main}/{name}", b"")
    assert name.encode() in cli.run("ls", "--json", main)[0]
    cli.fresh = True
    cli.variables["PYTHONIOENCODING"] = "cp1252"
    for command in (["ls", "--json", main], ["find", "--json", main], ["info", "--json", f"{main}/{name}"]):
        output = cli.run(*command)[0].decode("ascii")
        found = json.loads(output)
        entries = [found] if isinstance(found, dict) else found
        assert any(entry["name"].endswith(name) for entry in entries), command


def test_formats() -> None:
    assert [human_size(size) for size in (0, 1023, 1024, 1536, 1024**2 - 1, 1024**2, 3 * 1024**4, 1024**6)] == [
        "0 B", "1023 B", "1.0 KiB", "1.5 KiB", "1.0 MiB", "1.0 MiB", "3.0 TiB", "1024.0 PiB",
    ]  # fmt: skip
    assert [parse_size(text) for text in ("0", "17", "10K", "10k", "1.5M", "2GiB", "3 TB")] == [
        0, 17, 10240, 10240, 1572864, 2 * 1024**3, 3 * 1024**4,
    ]  # fmt: skip
    for text in ("", "x", "-1", "1X", "1.M", "K"):
        with pytest.raises(click.BadParameter, match="expected 1000"):
            parse_size(text)
    assert list(columns([["a", "1"], ["bcd", "10", "x"]], right=[1])) == ["a     1", "bcd  10  x"]
    assert list(columns([])) == []
    assert printable("a\tb\x1b[31mc\x1b[0m\nd\x9b") == "a\tb\x1b[31mc\x1b[0m\\nd\\x9b"


# -- paths -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("-", "standard"),
        ("xet://acme/x/main/a", "xet"),
        ("xet://localhost:8787:acme/x/main/a", "xet"),
        ("localhost:8787:acme/x/main/a", "xet"),
        ("acme/x/main/a", "xet"),
        ("acme/x/main", "xet"),
        ("acme/x/main@{5.minutes.ago}/a", "xet"),
        ("datasets/acme/x/main", "xet"),
        ("datasets/acme/x", "local"),
        ("acme/x", "local"),
        ("a.csv", "local"),
        ("there/x/main/a", "local"),
        ("./acme/x/main/a", "local"),
        ("../acme/x/main/a", "local"),
        ("/acme/x/main/a", "local"),
        ("~/acme/x/main/a", "local"),
        (".", "local"),
        ("file:///acme/x/main/a", "local"),
        ("a b/c d/e f", "local"),
        ("s3://bucket/key/a/b", "other"),
        ("memory://a", "other"),
        ("zip::xet://acme/x/main/a.zip", "other"),
    ],
)
def test_what_paths_mean(path: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    assert place(path).kind == kind


def test_details_of_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert place("~/x").path == "/home/me/x"
    assert place("file:///a/b/").path == "/a/b/"
    assert place("acme/x/main/d/").is_folder
    assert not place("acme/x/main/d").is_folder
    with pytest.raises(pyxet.XetURLError):
        place("xet://acme//main")


def test_points_in_time_are_not_written_to() -> None:
    assert writable(remote("acme/x/main/a")).path == "a"
    for path in ("acme/x/main@{2026-11-01}/a", "xet://acme/x/refs%2Fpr%2F1@{5.minutes.ago}"):
        with pytest.raises(CommandError, match="point in time"):
            writable(remote(path))
