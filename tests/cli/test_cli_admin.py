"""``xet serve admin``: people are added and revoked in a directory while it is served, and log in by every way there is."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.cli import Cli, Done
from support.gits import Git, git_at_home
from support.raw_client import RawClient

import pyxet
from pyxet.errors import AuthenticationError, RepositoryNotFoundError
from pyxet.testing import LocalEndpoint, local_endpoint


@pytest.fixture
def endpoint() -> Iterator[LocalEndpoint]:
    with local_endpoint(user="root") as running:
        yield running


class Admin:
    """``xet serve admin`` for the directory of an endpoint that runs."""

    def __init__(self, endpoint: LocalEndpoint, folder: Path) -> None:
        self.cli = Cli(endpoint, folder, {"XET_USER_TOKEN": "", "HOME": str(folder), "XDG_CONFIG_HOME": str(folder)})
        self.endpoint = endpoint

    def __call__(self, *arguments: str, stdin: bytes = b"", code: int = 0) -> Done:
        return self.cli("serve", "admin", *arguments, "--root", str(self.endpoint.root), stdin=stdin, code=code)

    def token(self, user: str, *options: str) -> str:
        return self("token", "add", user, *options).out.strip()


@pytest.fixture
def admin(endpoint: LocalEndpoint, tmp_path: Path) -> Admin:
    endpoint.start()
    return Admin(endpoint, tmp_path)


def test_people_come_and_go_while_it_serves(admin: Admin, endpoint: LocalEndpoint) -> None:
    admin("user", "add", "ada")
    admin("user", "add", "will", "--password", stdin=b"correct horse\n")
    admin("org", "add", "acme", "--member", "ada=admin", "--member", "will=read")
    told = admin("user", "ls", "--json").json
    assert told == [
        {"user": "ada", "password": False, "organizations": {"acme": "admin"}},
        {"user": "will", "password": True, "organizations": {"acme": "read"}},
    ]
    assert admin("org", "ls").lines == ["acme  ada=admin, will=read"]
    ada, will = (pyxet.XetFS(endpoint.url, token=admin.token(name)) for name in ("ada", "will"))
    ada.make_repo("acme/closed", private=True)
    ada.pipe("acme/closed/main/a.txt", b"a")
    assert will.cat("acme/closed/main/a.txt") == b"a"
    assert will.ls("", detail=False) == ["will", "acme"]
    with pytest.raises(PermissionError, match="will has the role read in acme; this needs write"):
        will.pipe("acme/closed/main/a.txt", b"b")
    admin("org", "add", "acme", "--member", "will=write")
    will.pipe("acme/closed/main/a.txt", b"b")
    admin("org", "revoke", "acme", "will")
    with pytest.raises(RepositoryNotFoundError):
        will.info("acme/closed")
    admin("user", "revoke", "will")
    with pytest.raises(AuthenticationError):
        will.get_username()
    assert admin("token", "ls", "will").lines == []


def test_tokens_have_a_scope_and_an_end(admin: Admin, endpoint: LocalEndpoint) -> None:
    admin("user", "add", "ada")
    made = admin(
        "token", "add", "ada", "--name", "ci", "--scope", "read", "--repo", "ada/one", "--repo", "datasets/ada/two",
        "--expires", "30d", "--json",
    ).json  # fmt: skip
    assert {name: made[name] for name in ("user", "name", "scope", "repos")} == {
        "user": "ada", "name": "ci", "scope": "read", "repos": ["ada/one", "datasets/ada/two"],
    }  # fmt: skip
    left = datetime.fromisoformat(made["expires"]) - datetime.now(UTC)
    assert timedelta(days=29) < left < timedelta(days=31)
    assert RawClient(endpoint, made["token"]).get("/api/whoami-v2").status == 200
    listed = admin("token", "ls", "--json").json
    assert listed == [{name: value for name, value in made.items() if name != "token"}]
    [line] = admin("token", "ls").lines
    assert line.startswith(f"{made['id']}  ada  ci  read  ada/one, datasets/ada/two  until ")
    admin("token", "revoke", made["id"])
    assert RawClient(endpoint, made["token"]).get("/api/whoami-v2").status == 401
    by_text = admin.token("ada", "--expires", "2999-01-01")
    admin("token", "revoke", by_text)
    assert RawClient(endpoint, by_text).get("/api/whoami-v2").status == 401


def test_what_a_name_brings_along_is_told(admin: Admin, endpoint: LocalEndpoint) -> None:
    fs = pyxet.XetFS(endpoint.url, token=endpoint.token)
    assert "owns" not in admin("user", "add", "ada").err
    for repo in ("ada/a", "ada/b", "datasets/ada/c", "ada/d", "adam/x", "acme/x"):
        fs.make_repo(repo, private=True)
    admin("user", "revoke", "ada")
    assert "ada owns what is there under that name (4): ada/a, ada/b, ada/d, …" in admin("user", "add", "ada").err
    added = ("org", "add", "acme", "--member", "ada=read")
    assert "acme owns what is there under that name (1): acme/x" in admin(*added).err
    # There is nothing new about it with another member.
    assert "owns" not in admin(*added).err
    assert (
        f"root runs the endpoint {endpoint.url}, so whoever is root may do everything"
        in admin("user", "add", "root").err
    )


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["user", "add", "ada"], 5, "there is a user 'ada' already"),
        (["org", "add", "Ada"], 5, "there is a user 'ada' already"),
        (["user", "add", "a/b"], 1, "cannot own repositories"),
        (["user", "add", "bob", "--password"], 2, "a password has 8 characters or more"),
        (["token", "add", "bob"], 1, "xet serve admin user add bob makes one"),
        (["user", "add", "datasets"], 1, "cannot own repositories"),
        (["org", "add", "API"], 1, "cannot own repositories"),
        (["token", "add", "ada", "--name", "a\nb"], 1, "a token cannot be called 'a\\nb'"),
        (["token", "add", "ada", "--name", "\x1b[31mred"], 1, "without control characters"),
        (["token", "add", "ada", "--expires", "soon"], 2, "nor a date such as 2027-01-31"),
        (["token", "add", "ada", "--expires", "2001-01-01"], 2, "is over already"),
        (["token", "add", "ada", "--repo", "a/b/main/c"], 1, "expected owner, owner/repo"),
        (["token", "revoke", "12345678"], 1, "xet serve admin token ls shows"),
        (["org", "add", "acme", "--member", "ada"], 2, "USER=read, USER=write or USER=admin"),
        (["org", "add", "acme", "--member", "ada=owner"], 2, "USER=read, USER=write or USER=admin"),
        (["org", "add", "acme", "--member", "bob=read"], 1, "there is no user 'bob'"),
        (["org", "revoke", "acme"], 1, "there is no organization 'acme'"),
        (["user", "password", "bob", "--none"], 1, "there is no user 'bob'"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else "",
)
def test_what_makes_no_sense_changes_nothing(admin: Admin, arguments: list[str], code: int, says: str) -> None:
    admin("user", "add", "ada")
    before = (admin.endpoint.root / "people.json").read_text()
    assert says in admin(*arguments, stdin=b"short\n", code=code).err
    assert (admin.endpoint.root / "people.json").read_text() == before


def test_the_directory_is_named(admin: Admin, tmp_path: Path) -> None:
    assert "--root is missing" in admin.cli("serve", "admin", "user", "ls", code=2).err
    assert "--root is missing" in admin.cli("serve", code=2).err
    (tmp_path / "file").write_text("")
    assert "cannot be used" in admin.cli("serve", "admin", "user", "ls", "--root", "file", code=1).err
    # Before the command it is the same one, and before it is served it may be a new one.
    admin.cli("serve", "--root", "new", "admin", "user", "add", "ada")
    assert admin.cli("serve", "admin", "user", "list", "--root", "new").lines == ["ada"]
    with local_endpoint(tmp_path / "new") as endpoint:
        assert json.loads((endpoint.root / "people.json").read_text())["users"] == {"ada": None}


def test_each_of_them_logs_in_everywhere(admin: Admin, endpoint: LocalEndpoint, tmp_path: Path) -> None:
    """``xet login``, ``pyxet.login``, the Hub's own tools."""
    for name in ("ada", "will"):
        admin("user", "add", name)
        token = admin.token(name)
        admin.cli("login", "-u", name, "--host", endpoint.url, stdin=f"{token}\n".encode())
        assert admin.cli("whoami").out.strip() == name
        pyxet.login(name, token, host=endpoint.url)
        assert pyxet.XetFS().get_username() == name
        with pytest.raises(AuthenticationError, match=f"belongs to '{name}'"):
            pyxet.login("root", token, host=endpoint.url)
        pyxet.logout()
        code = (
            "import sys, huggingface_hub as h; h.login(sys.argv[1], skip_if_logged_in=False); print(h.HfApi().whoami()['name']); "
            "print(h.get_token() == sys.argv[1])"
        )
        environment = admin.cli.environment | {"HF_ENDPOINT": endpoint.url, "HF_HOME": str(tmp_path / name)}
        done = subprocess.run(
            [sys.executable, "-c", code, token],
            capture_output=True,
            text=True,
            env=environment,
            check=False,
            timeout=120,
        )
        assert done.stdout.split() == [name, "True"], done.stderr
        # Which pyxet finds there.
        done = subprocess.run(
            [sys.executable, "-c", "import pyxet; print(pyxet.XetFS().get_username())"],
            capture_output=True, text=True, env=environment | {"XET_ENDPOINT": "", "XDG_CONFIG_HOME": str(tmp_path / "no")},
            check=False, timeout=120,
        )  # fmt: skip
        assert done.stdout.split() == [name], done.stderr


def helper(git: Git, endpoint: LocalEndpoint, user: str, secret: str) -> None:
    """Have git's own helper keep a name and a secret, as ``git credential approve`` and other tools do."""
    git("config", "--global", "credential.helper", f"store --file {git.folder / 'kept'}")
    scheme, _, host = endpoint.url.partition("://")
    given = f"protocol={scheme}\nhost={host}\nusername={user}\npassword={secret}\n\n"
    subprocess.run(
        ["git", "credential", "approve"], input=given, text=True, env=git.environment, check=True, timeout=60
    )


def test_git_asks_its_credential_helpers(admin: Admin, endpoint: LocalEndpoint, tmp_path: Path) -> None:
    admin("user", "add", "ada", "--password", stdin=b"correct horse\n")
    admin("user", "add", "rea")
    admin("org", "add", "acme", "--member", "ada=write", "--member", "rea=read")
    pyxet.XetFS(endpoint.url, token=endpoint.token).make_repo("acme/closed", private=True)
    url, tokens = f"{endpoint.url}/acme/closed", {name: admin.token(name) for name in ("ada", "rea")}
    nobody = git_at_home(tmp_path / "nobody")
    refused = nobody.fails("clone", url)
    assert "terminal prompts disabled" in refused
    # Nobody is told which of them is there.
    assert refused.replace("closed", "nothing") == nobody.fails("clone", f"{endpoint.url}/acme/nothing")
    for name, secret in (
        ("ada", tokens["ada"]),
        ("ada", "correct horse"),
        ("rea", tokens["rea"]),
        ("hf_user", tokens["rea"]),
    ):
        git = git_at_home(tmp_path / f"home-{name}-{secret[:7]}")
        helper(git, endpoint, name, secret)
        git("clone", "--quiet", url, "work")
        work = git.at("work")
        work.write({"a.txt": secret.encode()[:3] + name.encode()})
        push = work.says if name == "ada" else work.fails
        pushed = push("push", "--quiet", "origin", "main")
        assert ("role read in acme" in pushed) == (name != "ada"), pushed
    admin("token", "revoke", tokens["rea"])
    assert "Authentication failed" in git.fails("clone", url, "again")
    # And git forgets what is refused.
    assert tokens["rea"] not in (git.folder / "kept").read_text()
