"""``xet login``, ``xet logout``, ``xet whoami``, and the file between them."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from support.cli import Cli

import pyxet
from pyxet import config
from pyxet.secrets import Secret


@pytest.fixture
def cli(cli: Cli) -> Cli:
    cli.variables["XET_USER_TOKEN"] = ""
    return cli


def saved(cli: Cli) -> Path:
    return Path(cli.environment["HOME"]) / ".config" / "xet" / "login.json"


def test_a_login_lasts(cli: Cli) -> None:
    cli("whoami", code=4)
    done = cli("login", "-u", "acme", "-e", "me@acme.example", "-t", cli.endpoint.token)
    assert done.out == ""
    assert done.err == f"logged in to {cli.endpoint.url} as acme\n"
    assert cli.endpoint.token in saved(cli).read_text()
    assert stat.S_IMODE(saved(cli).stat().st_mode) == 0o600
    assert stat.S_IMODE(saved(cli).parent.stat().st_mode) == 0o700
    done = cli("whoami")
    assert done.lines == ["acme"]
    assert done.err == f"at {cli.endpoint.url}\n"
    assert cli("whoami", "--quiet").err == ""
    told = cli("whoami", "--json").json
    # Other tests may have made organizations here.
    assert (told["user"], told["endpoint"]) == ("acme", cli.endpoint.url)
    assert isinstance(told["organizations"], list)
    assert cli("logout").err == f"logged out of {cli.endpoint.url}\n"
    assert not saved(cli).exists()
    cli("whoami", code=4)
    assert cli("logout").err == f"no login is saved for {cli.endpoint.url}\n"


def test_the_user_is_that_of_the_token(cli: Cli) -> None:
    assert cli("login", "-t", cli.endpoint.token).err.endswith(" as acme\n")
    told = cli("login", "-u", "bob", "-t", cli.endpoint.token, code=4).err
    assert told == "xet login: the token belongs to acme, not to bob\n"


def test_the_token_on_standard_input(cli: Cli) -> None:
    cli("login", stdin=f"{cli.endpoint.token}\nmore\n".encode())
    assert cli("whoami").lines == ["acme"]
    assert "no token was given" in cli("login", code=2).err
    assert "no token was given" in cli("login", stdin=b"\n", code=2).err


@pytest.mark.needs("pty")
def test_the_token_is_asked_for_and_not_shown(cli: Cli) -> None:
    leader, follower = os.openpty()
    with cli.start("login", "-u", "acme", stdin=follower, stdout=follower, stderr=follower) as process:
        os.close(follower)
        shown = b""
        while b": " not in shown:
            shown += os.read(leader, 1000)
        os.write(leader, f"{cli.endpoint.token}\n".encode())
        while b"logged in" not in shown:
            shown += os.read(leader, 1000)
        assert process.wait(timeout=60) == 0
    os.close(leader)
    assert shown.startswith(f"Token of acme at {cli.endpoint.url}: ".encode())
    assert cli.endpoint.token.encode() not in shown
    assert cli("whoami").lines == ["acme"]


@pytest.mark.needs("pty")
def test_nobody_answers(cli: Cli) -> None:
    leader, follower = os.openpty()
    with cli.start("login", stdin=follower, stdout=follower, stderr=follower) as process:
        os.close(follower)
        shown = b""
        while b": " not in shown:
            shown += os.read(leader, 1000)
        # The end of the input, as Ctrl-D makes it.
        os.write(leader, b"\x04")
        while b"ended" not in shown:
            shown += os.read(leader, 1000)
        assert process.wait(timeout=60) == 1
    os.close(leader)
    assert not saved(cli).exists()


def test_a_bad_token_is_not_saved(cli: Cli) -> None:
    told = cli("login", "-u", "acme", "-t", "wrong", code=4).err
    assert "xet login" in told
    assert "wrong" not in told
    assert not saved(cli).exists()


def test_force_does_not_ask_the_endpoint(cli: Cli) -> None:
    cli.variables["XET_ENDPOINT"] = "http://127.0.0.1:9"
    cli("login", "-u", "acme", "-t", "any", "--force")
    assert json.loads(saved(cli).read_text()) == {"http://127.0.0.1:9": {"user": "acme", "token": "any"}}
    assert "-u" in cli("login", "-t", "any", "--force", code=2).err


def test_logins_of_several_endpoints(cli: Cli) -> None:
    cli("login", "-u", "a", "-t", "one", "--host", "localhost:1", "--force")
    done = cli("login", "-u", "b", "-t", "two", "--endpoint", "hub.acme.example", "--force")
    assert "export XET_ENDPOINT=https://hub.acme.example" in done.err
    cli("login", "-u", "c", "-t", "three", "--force", "--no-overwrite")
    assert (
        "saved already"
        in cli("login", "-u", "d", "-t", "x", "--host", "localhost:1", "--force", "--no-overwrite", code=5).err
    )
    cli("login", "-u", "d", "-t", "four", "--host", "localhost:1", "--force")
    logins = json.loads(saved(cli).read_text())
    assert {end: (entry["user"], entry["token"]) for end, entry in logins.items()} == {
        "http://localhost:1": ("d", "four"),
        "https://hub.acme.example": ("b", "two"),
        cli.endpoint.url: ("c", "three"),
    }
    # The token of one endpoint is no other's.
    cli("logout", "--host", "localhost:1")
    assert len(json.loads(saved(cli).read_text())) == 2
    assert len(cli("logout", "--all").err.splitlines()) == 2
    assert not saved(cli).exists()
    assert cli("logout", "--all").err == "no logins are saved\n"


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["login", "--host", "a", "--endpoint", "b"], 2, "give one of them"),
        (["login", "--host", "a b", "-t", "x"], 2, "endpoint 'a b'"),
        (["login", "--host", "local", "-t", "x"], 1, "needs no login"),
        (["login", "more"], 2, "unexpected extra argument"),
        (["logout", "--all", "--host", "a"], 2, "--all"),
        (["logout", "--host", "a b"], 2, "endpoint 'a b'"),
        (["whoami", "acme"], 2, "unexpected extra argument"),
        (["whoami", "--endpoint", "file:relative"], 1, "absolute"),
    ],
)
def test_what_makes_no_sense(cli: Cli, words: list[str], code: int, told: str) -> None:
    assert told in cli(*words, code=code).err


def test_a_file_that_cannot_be_used(cli: Cli) -> None:
    saved(cli).parent.mkdir(parents=True)
    saved(cli).write_text("{")
    for words in (["whoami"], ["login", "-t", cli.endpoint.token], ["logout"]):
        assert str(saved(cli)) in cli(*words, code=1).err
    saved(cli).unlink()
    saved(cli).mkdir()
    assert str(saved(cli)) in cli("login", "-u", "a", "-t", "b", "--force", code=1).err


# -- the same from Python ----------------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_saving_from_python(home: Path) -> None:
    try:
        pyxet.login("me", "token", host="localhost:1", check=False)
        assert not config.login_file().exists()
        pyxet.login("me", "token", host="localhost:1", check=False, save=True)
        with pytest.raises(pyxet.AlreadyExistsError, match="localhost:1"):
            pyxet.login("you", "other", host="localhost:1", check=False, save=True, overwrite=False)
        pyxet.logout()
        assert config.resolve_credential("http://localhost:1").token == Secret("token")
        assert config.resolve_credential("http://localhost:2").token is None
        assert pyxet.logout("localhost:2", saved=True) == []
        assert pyxet.logout(saved=True) == ["http://localhost:1"]
        assert config.resolve_credential("http://localhost:1").token is None
    finally:
        pyxet.logout()


@pytest.mark.needs("links")
def test_a_file_that_is_a_link_stays_one(home: Path) -> None:
    (home / "elsewhere").mkdir()
    config.login_file().parent.mkdir(parents=True)
    config.login_file().symlink_to(home / "elsewhere" / "logins.json")
    try:
        pyxet.login("me", "token", host="localhost:1", check=False, save=True)
    finally:
        pyxet.logout()
    assert config.login_file().is_symlink()
    assert "token" in (home / "elsewhere" / "logins.json").read_text()
    assert {path.name for path in (home / "elsewhere").iterdir()} == {"logins.json", ".logins.json.lock"}


def test_a_login_that_fails_to_save_changes_nothing(home: Path) -> None:
    config.login_file().parent.mkdir(parents=True)
    config.login_file().mkdir()
    with pytest.raises(pyxet.ConfigError, match="cannot be read"):
        pyxet.login("me", "token", host="localhost:1", check=False, save=True)
    assert config.resolve_endpoint() == config.DEFAULT_ENDPOINT
