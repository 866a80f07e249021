"""``xet serve admin``: users, organizations and tokens of an endpoint's directory, also while it is not served."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import wraps
from pathlib import Path
from typing import Any, Final

import click

from pyxet.cli import candidates
from pyxet.cli.command import command, group
from pyxet.cli.formats import local_time, moment, moment_at, seconds_of
from pyxet.cli.session import Session
from pyxet.local import server

admin = group(
    "admin",
    connects=False,
    help="Add, list and revoke users, organizations and tokens, also while the directory is served.",
)
user = group("user", admin, connects=False, help="Users, beside the one who runs the endpoint.")
org = group("org", admin, connects=False, help="Organizations, which own repositories and have members with roles.")
token = group("token", admin, connects=False, help="Tokens of users.")

# The minimum length of a password, in characters.
_SHORTEST: Final = 8
_SPAN: Final = re.compile(r"([1-9]\d{0,4})([mhdw])\Z", re.ASCII)
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_MEMBER: Final = re.compile(r"([^=]+)=(read|write|admin)\Z")


def _people(function: Callable[..., None]) -> Callable[..., None]:
    """Add the option ``--root``, which may also be given before ``admin``. The function gets the directory's `PeopleFile`."""

    @click.option(
        "--root",
        metavar="DIR",
        shell_complete=candidates.local_path,
        help="Directory of the endpoint; made if need be.",
    )
    @wraps(function)
    def call(session: Session, root: str | None, **kwargs: Any) -> None:
        context: click.Context | None = click.get_current_context()
        while root is None and context is not None:
            root, context = context.params.get("root"), context.parent
        if root is None:
            raise click.UsageError("--root is missing: the directory of the endpoint")
        function(session, server().people_of(Path(root).absolute()), **kwargs)

    return call


# -- users -------------------------------------------------------------------------------------------------------------


_password = click.option(
    "--password", is_flag=True, help="Ask for a password, for git; where standard input is no terminal, its first line is it."
)  # fmt: skip


@command(
    "add",
    parent=user,
    connects=False,
    examples=[
        "xet serve admin user add ada --root ./store",
        "xet serve admin user add ada --root ./store --password < password.txt",
    ],
)
@click.argument("name", metavar="USER")
@_password
@_people
def add_user(session: Session, people: Any, name: str, password: bool) -> None:
    """Add a user. They own repositories of their own name, and log in with tokens: xet serve admin token add. With a
    password they can use git without a token.
    """
    secret = _asked(name) if password else None
    people.change(lambda now: now.with_user(name, secret))
    session.note(f"{name} is a user" + ("" if secret else f"; a token: xet serve admin token add {name}"))
    _tell_what_is_there(session, people, name)


@command(
    "password",
    parent=user,
    connects=False,
    examples=["xet serve admin user password ada --root ./store"],
)
@click.argument("name", metavar="USER")
@click.option("--none", is_flag=True, help="Take the password away; tokens stay.")
@_people
def change_password(session: Session, people: Any, name: str, none: bool) -> None:
    """Give a user another password. Where standard input is no terminal, its first line is the password."""
    secret = None if none else _asked(name)
    people.change(lambda now: now.with_password(name, secret))
    session.note(f"{name} has " + ("no password now" if none else "a new password"))


@command(
    "ls",
    parent=user,
    connects=False,
    json=True,
    examples=["xet serve admin user ls --root ./store", "xet serve admin user ls --root ./store --json"],
)
@_people
def list_users(session: Session, people: Any) -> None:
    """List the users, with their organizations and roles."""
    now = people.current
    found = [
        {"user": name, "password": stored is not None, "organizations": now.orgs_of(name)}
        for name, stored in sorted(now.users.items())
    ]
    if session.json:
        session.data(found)
    else:
        session.table(
            [each["user"], ", ".join(f"{org}={role}" for org, role in sorted(each["organizations"].items()))]
            for each in found
        )


@command("revoke", parent=user, connects=False, examples=["xet serve admin user revoke ada --root ./store"])
@click.argument("name", metavar="USER")
@_people
def revoke_user(session: Session, people: Any, name: str) -> None:
    """Remove a user, with their tokens and memberships, at once. Their repositories stay, for the user who runs the endpoint."""
    people.change(lambda now: now.without_user(name))
    session.note(f"{name} is no longer a user")


# -- organizations -----------------------------------------------------------------------------------------------------


@command(
    "add",
    parent=org,
    connects=False,
    examples=[
        "xet serve admin org add acme --root ./store --member ada=admin --member will=write",
        "xet serve admin org add acme --root ./store --member rea=read",
    ],
)
@click.argument("name", metavar="ORG")
@click.option(
    "--member",
    "members",
    metavar="USER=ROLE",
    multiple=True,
    help="A member who has the role read, write or admin. May be given several times.",
)
@_people
def add_org(session: Session, people: Any, name: str, members: tuple[str, ...]) -> None:
    """Add an organization, or add members to an existing one, where a member gets the new role. Members with the role
    read see its private repositories, those with write change them and make new ones, those with admin also remove
    them, move them and make them private or public.
    """
    matches = [_MEMBER.match(member) for member in members]
    if None in matches:
        wrong = members[matches.index(None)]
        raise click.BadParameter(f"{wrong!r} is not USER=read, USER=write or USER=admin", param_hint="--member")

    is_new = name not in people.current.orgs

    def change(now: Any) -> Any:
        if name not in now.orgs or not members:
            now = now.with_org(name)
        for match in matches:
            assert match is not None
            now = now.with_member(name, match[1], match[2])
        return now

    roles = people.change(change).orgs[name]
    session.note(f"{name} has {len(roles)} member{'' if len(roles) == 1 else 's'}")
    if is_new:
        _tell_what_is_there(session, people, name)


@command(
    "ls",
    parent=org,
    connects=False,
    json=True,
    examples=["xet serve admin org ls --root ./store", "xet serve admin org ls --root ./store --json"],
)
@_people
def list_orgs(session: Session, people: Any) -> None:
    """List the organizations and their members."""
    orgs = sorted(people.current.orgs.items())
    if session.json:
        session.data([{"organization": name, "members": members} for name, members in orgs])
    else:
        session.table(
            [name, ", ".join(f"{user}={role}" for user, role in sorted(members.items()))] for name, members in orgs
        )


@command(
    "revoke",
    parent=org,
    connects=False,
    examples=["xet serve admin org revoke acme will --root ./store", "xet serve admin org revoke acme --root ./store"],
)
@click.argument("name", metavar="ORG")
@click.argument("member", metavar="[USER]", required=False)
@_people
def revoke_org(session: Session, people: Any, name: str, member: str | None) -> None:
    """Remove a member from an organization, or the organization. Its repositories stay, for the user who runs the endpoint."""
    if member is None:
        people.change(lambda now: now.without_org(name))
        session.note(f"{name} is no longer an organization")
    else:
        people.change(lambda now: now.with_member(name, member, None))
        session.note(f"{member} is no longer a member of {name}")


# -- tokens ------------------------------------------------------------------------------------------------------------


@command(
    "add",
    parent=token,
    connects=False,
    json=True,
    examples=[
        "xet serve admin token add ada --root ./store",
        "xet serve admin token add ada --root ./store --name ci --scope read --repo acme/titanic --expires 30d",
    ],
)
@click.argument("name", metavar="USER")
@click.option("--name", "label", metavar="NAME", default="", help="What the token is called, to know it again.")
@click.option(
    "--scope",
    type=click.Choice(["read", "write"]),
    default="write",
    show_default=True,
    help="What it allows at the most.",
)
@click.option(
    "--repo",
    "repos",
    metavar="PATH",
    multiple=True,
    help="Only for this repository (owner/repo, datasets/owner/repo), or those of this owner. May be given several times.",
)
@click.option("--expires", metavar="WHEN", help="When it ends: 12h, 30d, 8w from now, or a date such as 2027-01-31.")
@_people
def add_token(
    session: Session, people: Any, name: str, label: str, scope: str, repos: tuple[str, ...], expires: str | None
) -> None:
    """Make a token for a user. It is written to standard output, and cannot be shown again: only its hash is kept."""
    ends = _end(expires) if expires is not None else None
    made: list[str] = []

    def change(now: Any) -> Any:
        changed, text = now.with_token(name, label, scope, repos=repos, expires=seconds_of(ends) if ends else None)
        made[:] = [text]
        return changed

    found = people.change(change).token(made[0])
    if session.json:
        session.data({"token": made[0], **_told(found)})
    else:
        session.line(made[0])
        session.note(f"token {found.id} of {name}" + (f", until {moment(ends)}" if ends else ""))


@command(
    "ls",
    parent=token,
    connects=False,
    json=True,
    examples=["xet serve admin token ls --root ./store", "xet serve admin token ls ada --root ./store --json"],
)
@click.argument("name", metavar="[USER]", required=False)
@_people
def list_tokens(session: Session, people: Any, name: str | None) -> None:
    """List the tokens, or those of a user: what each is called and what it is for, not the tokens themselves."""
    found = [each for each in people.current.tokens.values() if name in (None, each.user)]
    told = [_told(each) for each in sorted(found, key=lambda each: (each.user, each.name, each.id))]
    if session.json:
        session.data(told)
        return
    now = datetime.now(UTC)
    session.table(
        [
            each["id"], each["user"], each["name"] or "-", each["scope"], ", ".join(each["repos"]) or "everything",
            "" if (end := each["expires"]) is None else f"until {moment(end)}" if end > now else "ended",
        ]
        for each in told
    )  # fmt: skip


@command(
    "revoke",
    parent=token,
    connects=False,
    examples=["xet serve admin token revoke 5f0c2a91 --root ./store"],
)
@click.argument("name", metavar="TOKEN")
@_people
def revoke_token(session: Session, people: Any, name: str) -> None:
    """Revoke a token at once. TOKEN is what xet serve admin token ls calls it, or the token itself."""
    people.change(lambda now: now.without_token(name))
    session.note("the token is revoked")


def _told(found: Any) -> dict[str, Any]:
    """The JSON form of a token, without its secret text."""
    return {
        "id": found.id,
        "user": found.user,
        "name": found.name,
        "scope": found.scope,
        "repos": list(found.repos),
        "expires": None if found.expires is None else moment_at(found.expires),
    }


def _end(text: str) -> datetime:
    """The time in ``--expires``: a span counts from now, and a date is the beginning of that day in the local time zone."""
    try:
        if span := _SPAN.match(text):
            return datetime.now(UTC) + timedelta(**{_UNITS[span[2]]: int(span[1])})
        end = local_time(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        message = f"{text!r} is neither a span such as 12h, 30d or 8w nor a date such as 2027-01-31"
        raise click.BadParameter(message, param_hint="--expires") from None
    if end <= datetime.now(UTC):
        raise click.BadParameter(f"{text!r} is over already", param_hint="--expires")
    return end


def _tell_what_is_there(session: Session, people: Any, name: str) -> None:
    """Warn of what a new user or organization gets by its name: for example, repositories that an earlier owner has left."""
    for line in server().brought_by_name(people.root, name):
        session.warn(line)


def _asked(name: str) -> str:
    """A password, from the terminal or from the first line of standard input."""
    if sys.stdin.isatty():
        secret: str = click.prompt(f"Password of {name}", hide_input=True, confirmation_prompt=True, err=True)
    else:
        secret = sys.stdin.readline().rstrip("\r\n")
    if len(secret) < _SHORTEST:
        raise click.UsageError(f"a password has {_SHORTEST} characters or more")
    return secret
