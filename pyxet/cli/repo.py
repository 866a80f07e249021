"""``xet repo``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from datetime import datetime
from functools import wraps
from typing import TYPE_CHECKING, Any, Final

import click

from pyxet import XetURL
from pyxet._shown import human_size
from pyxet.cli import candidates
from pyxet.cli.command import command, group
from pyxet.cli.formats import moment, printable
from pyxet.cli.names import branch_of, named_like, own, repository
from pyxet.cli.paths import remote
from pyxet.cli.session import CommandError, Session

if TYPE_CHECKING:
    from pyxet import XetFS

repo = group("repo")

_KINDS: Final = {"model": "models", "dataset": "datasets", "space": "spaces", "kernel": "kernels"}
_kind = click.option(
    "--type", "kind", type=click.Choice(list(_KINDS)), help="What it is for; datasets/ in front of the path says the same."
)  # fmt: skip


def _visibility(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options ``--private`` and ``--public``, which the function gets as ``private``: true, false, or ``None``."""

    @click.option("-p", "--private", "hide", is_flag=True, help="Seen by its owner only.")
    @click.option("--public", "show", is_flag=True, help="Seen by all.")
    @wraps(function)
    def call(*args: Any, hide: bool, show: bool, **kwargs: Any) -> None:
        if hide and show:
            raise click.UsageError("--private and --public: give one of them")
        function(*args, private=hide if hide or show else None, **kwargs)

    return call


@command(
    "make",
    parent=repo,
    json=True,
    examples=["xet repo make acme/titanic", "xet repo make corpus --private --type dataset"],
)
@click.argument("name", metavar="REPO", shell_complete=candidates.repository)
@_visibility
@_kind
def make(session: Session, name: str, private: bool | None, kind: str | None) -> None:
    """Make a repository with an empty branch main; one without an owner in front is yours. Its URL is written to
    standard output.
    """
    fs = session.fs(name)
    url = _typed(fs, name, kind)
    fs.make_repo(str(url), private=bool(private))
    _made(session, fs, url)


@command(
    "ls",
    parent=repo,
    json=True,
    examples=["xet repo ls", "xet repo ls acme", "xet repo ls acme --type dataset --json"],
)
@click.argument("owner", required=False, shell_complete=candidates.owner)
@_kind
def ls(session: Session, owner: str | None, kind: str | None) -> None:
    """List repositories that you may see: an owner's, or your own and those of your organizations. They are of one
    kind: models, which plain repositories are, unless --type or datasets/ in front of OWNER says otherwise.
    """
    fs = session.fs(owner or "")
    if owner is None:
        owners = fs.ls("" if kind is None else _KINDS[kind], detail=False)
    else:
        url = _of_kind(remote(owner), owner, kind)
        if url.level != "owner":
            raise click.UsageError(f"{owner} is not an owner of repositories; expected acme or datasets/acme")
        owners = [str(url)]
    infos = [info for name in owners for info in fs.list_repos(name, detail=True)]
    if session.json:
        session.data([_for_json(info) for info in infos])
    else:
        session.table(
            [info["name"], "private" if info["private"] else "public", _date(info.get("last_modified"))]
            for info in infos
        )


@command("info", parent=repo, json=True, examples=["xet repo info acme/titanic", "xet repo info acme/titanic --json"])
@click.argument("name", metavar="REPO", shell_complete=candidates.repository)
def info(session: Session, name: str) -> None:
    """Show a repository: who sees it, its branches and tags, when it was made and last changed."""
    repository(name)
    fs = session.fs(name)
    found = _for_json(fs.repo_info(name)) | {"branches": fs.list_branches(name), "tags": fs.list_tags(name)}
    if session.json:
        session.data(found | {"url": fs.unstrip_protocol(name)})
        return
    session.table([
        ["repository", found["name"]], ["visibility", "private" if found["private"] else "public"],
        ["commit", found["commit"] or "-"], ["branches", ", ".join(found["branches"])],
        ["tags", ", ".join(found["tags"]) or "-"], ["created", _date(found.get("created"))],
        ["last modified", _date(found.get("last_modified"))], ["url", fs.unstrip_protocol(name)],
    ])  # fmt: skip


@command(
    "rename",
    parent=repo,
    json=True,
    examples=["xet repo rename acme/titanic passengers", "xet repo rename acme/titanic museum/titanic"],
)
@click.argument("name", metavar="REPO", shell_complete=candidates.repository)
@click.argument("new")
def rename(session: Session, name: str, new: str) -> None:
    """Give a repository another name, or another owner. The old name leads to it until another repository gets it."""
    target = named_like(new, name)
    fs = session.fs(name, target)
    fs.rename_repo(name, target)
    _made(session, fs, XetURL.parse(target))


@command(
    "fork",
    parent=repo,
    json=True,
    examples=["xet repo fork museum/titanic", "xet repo fork museum/titanic acme/my-titanic"],
)
@click.argument("source", metavar="SRC", shell_complete=candidates.repository)
@click.argument("destination", metavar="[DST]", required=False)
@_visibility
def fork(session: Session, source: str, destination: str | None, private: bool | None) -> None:
    """Copy a repository, to work on the copy: to your account and under the same name, unless DST is given. It has the
    whole history, and is private or public like SRC, unless an option is given. Nothing connects the two afterwards.
    """
    _duplicate(session, source, destination, private)


@command(
    "duplicate",
    parent=repo,
    json=True,
    examples=["xet repo duplicate acme/titanic acme/titanic-2", "xet repo duplicate museum/titanic --private"],
)
@click.argument("source", metavar="SRC", shell_complete=candidates.repository)
@click.argument("destination", metavar="[DST]", required=False)
@_visibility
def duplicate(session: Session, source: str, destination: str | None, private: bool | None) -> None:
    """Copy a repository with its branches, tags and history, to your account unless DST says otherwise. Content is not
    stored twice. The copy is private or public like SRC, unless an option is given.
    """
    _duplicate(session, source, destination, private)


@command("set", parent=repo, examples=["xet repo set acme/titanic --private", "xet repo set acme/titanic --public"])
@click.argument("name", metavar="REPO", shell_complete=candidates.repository)
@_visibility
def change(session: Session, name: str, private: bool | None) -> None:
    """Change who sees a repository."""
    repository(name)
    if private is None:
        raise click.UsageError("nothing to change: give --private or --public")
    session.fs(name).set_repo_attr(name, "private", private)
    session.note(f"{name} is {'private' if private else 'public'}")


@command(
    "lfs-files",
    parent=repo,
    json=True,
    examples=["xet repo lfs-files acme/titanic", "xet repo lfs-files acme/titanic --json"],
)
@click.argument("name", metavar="REPO", shell_complete=candidates.repository)
def lfs_files(session: Session, name: str) -> None:
    """List the large files that any commit of a repository has, each content once, with sizes and when they came."""
    repository(name)
    files = session.fs(name).list_lfs_files(name)
    if session.json:
        session.data([asdict(file) for file in files])
        return
    session.table(
        ([human_size(file.size), moment(file.pushed), file.sha256[:10], file.path] for file in files), right=[0]
    )
    session.note(f"{len(files):,} files, {human_size(sum(file.size for file in files))}")


@command(
    "squash",
    parent=repo,
    examples=["xet repo squash acme/titanic main", "xet repo squash acme/titanic/main -m 'All of 2026' --yes"],
)
@click.argument("repo", metavar="REPO", shell_complete=candidates.repository)
@click.argument("branch", required=False, shell_complete=candidates.revision)
@click.option("-m", "--message", metavar="MSG", help="Message of the commit that is left.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def squash(session: Session, repo: str, branch: str | None, message: str | None, yes: bool) -> None:
    """Make one commit of all that a branch holds. What only its earlier commits had is lost. REPO/BRANCH will do, too."""
    repo, branch = branch_of(repo, branch)
    fs = session.fs(repo)
    at = fs.branch_info(repo, branch)
    if not yes:
        session.confirm(f"Replace the history of branch {branch} of {repo} by one commit?")
        session.note(f"it was at {at['commit']}")
    made = fs.squash(at["name"], message)
    session.note(f"branch {branch} of {repo} is one commit, {made.id[:10]}")


@command("del", parent=repo, examples=["xet repo del acme/titanic", "xet repo del acme/titanic --yes"])
@click.argument("name", metavar="REPO", shell_complete=candidates.repository)
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(session: Session, name: str, yes: bool) -> None:
    """Delete a repository with its branches and history. You are asked to type its name."""
    path = repository(name).full_path
    fs = session.fs(name)
    if not yes:
        fs.repo_info(name)
        if not sys.stdin.isatty():
            raise CommandError(
                f"to delete {path} its name has to be typed, and there is no terminal",
                hint="to delete it without being asked: --yes",
            )
        typed = click.prompt(printable(f"{path} and its history will be gone. Type its name to go on"), err=True)
        if typed.strip() != path:
            raise CommandError(f"that is not {path}; nothing was done")
    fs.delete_repo(name)
    session.note(f"deleted {path}")


def _duplicate(session: Session, source: str, destination: str | None, private: bool | None) -> None:
    url = repository(source)
    fs = session.fs(source)
    if destination is None or not ("/" in destination or ":" in destination):
        target = XetURL.parse(own(fs, url if destination is None else replace(url, repo=destination)))
    else:
        target = repository(destination)
        # Raises a usage error if they are at different endpoints.
        session.options(source, destination)
    found = fs.duplicate_repo(source, str(target), private=private)
    _made(session, fs, target)
    if found["files_pending"]:
        session.note("the endpoint is still copying large files; until it is done, reading them may fail")


def _typed(fs: XetFS, name: str, kind: str | None) -> XetURL:
    """The repository to make; if only its name was typed, the user owns it."""
    url = remote(name)
    if url.level == "owner":
        url = replace(url, owner=fs.get_username(), repo=url.owner)
    return _of_kind(repository(str(url)), name, kind)


def _of_kind(url: XetURL, typed: str, kind: str | None) -> XetURL:
    if kind is None or url.kind == _KINDS[kind]:
        return url
    if url.kind != "models":
        raise click.UsageError(f"{typed} is one of the {url.kind}, and --type says {kind}")
    return replace(url, kind=_KINDS[kind])  # type: ignore[arg-type]  # one of the kinds


def _made(session: Session, fs: XetFS, url: XetURL) -> None:
    if session.json:
        session.data({"name": url.full_path, "url": fs.unstrip_protocol(url.full_path)})
    else:
        session.line(fs.unstrip_protocol(url.full_path))


def _for_json(found: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name not in ("size", "type", "kind")}


def _date(when: datetime | None) -> str:
    return moment(when) if when else "-"
