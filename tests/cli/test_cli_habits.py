"""What people type who know the first pyxet, git or a shell: it works, or the answer says what to type here."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.cli import Cli

import pyxet


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("lss", "did you mean xet ls?"),
        ("brnach ls acme/titanic", "did you mean xet branch?"),
        ("LS", "did you mean xet ls?"),
        ("upload a.csv", "xet cp -r FOLDER owner/repo/branch/path"),
        ("mount acme/titanic /mnt", "pyxet.open"),
        ("branch mke acme/titanic main x", "did you mean xet branch make?"),
        ("repo lst", "xet repo ls"),
        ("tag upload x", "there is no command 'upload'"),
        ("xyzzy", "there is no command 'xyzzy'"),
        ("sync a b --dlete", "--delete"),
    ],
)
def test_a_misspelt_command_says_what_may_have_been_meant(cli: Cli, words: str, hint: str) -> None:
    first, second = cli(*words.split(), code=2).err.splitlines()
    assert hint in first
    assert second.startswith("see xet")


def test_a_word_like_none_gets_no_suggestion(cli: Cli) -> None:
    assert "did you mean" not in cli("xyzzy", code=2).err


def test_groups_know_other_names_of_their_commands(cli: Cli, repo: str, xet: pyxet.XetFS) -> None:
    cli("branch", "create", repo, "main", "b1")
    assert [line.split()[0] for line in cli("branch", "list", repo).lines] == ["b1", "main"]
    assert "b1" in cli("branch", "show", repo, "b1").out
    for name in ("rm", "remove", "delete", "del"):
        cli("branch", "make", repo, "main", name)
        cli("branch", name, repo, name, "--yes")
    cli("tag", "new", repo, "v1")
    cli("tag", "rm", repo, "v1", "--yes")
    assert (xet.list_branches(repo), xet.list_tags(repo)) == (["b1", "main"], [])
    cli("repo", "rm", repo, "--yes")
    assert not xet.is_repo(repo)


def test_the_first_pyxets_options(cli: Cli, repo: str, xet: pyxet.XetFS) -> None:
    xet.pipe_file(f"{repo}/main/a.txt", b"a")
    assert cli("ls", f"{repo}/main", "--raw").json == cli("ls", f"{repo}/main", "--json").json
    assert cli("info", f"{repo}/main/a.txt", "--raw").json["size"] == 1
    assert cli("branch", "ls", repo, "--raw").json[0]["branch"] == "main"
    assert cli("repo", "info", repo, "--raw").json["name"] == repo
    made = cli("repo", "make", f"{repo}-2", "--private", "--raw").json
    assert made["name"] == f"{repo}-2"
    assert xet.repo_info(made["url"])["private"]
    copied = cli("duplicate", repo, f"{repo}-3", "--private").lines
    assert xet.cat_file(f"{copied[0]}/main/a.txt") == b"a"
    cli("sync", ".", f"{repo}/main/x", "--dryrun", "--use_mtime")


def test_login_as_with_the_first_pyxet(cli: Cli, tmp_path: Path) -> None:
    host, user, token = cli.endpoint.url.partition("://")[2], cli.endpoint.user, cli.endpoint.token
    cli.variables |= {"XET_USER_TOKEN": "", "XET_ENDPOINT": ""}
    for words in (
        ["-e", "me@acme.example", "-u", user, "-p", token, "-h", host],
        ["--email", "me@acme.example", "--user", user, "--password", token, "--host", host],
        ["-u", user, "-p", token, "-h", host, "-f"],
    ):
        assert f"as {user}" in cli("login", *words).err
        assert cli("whoami", "--endpoint", host).lines == [user]
        assert "saved" in cli("login", *words, "--no_overwrite", code=5).err
        cli("logout", "--host", host)


def test_help_of_login_by_its_short_name(cli: Cli) -> None:
    assert cli("login", "-h").out == cli("login", "--help").out
