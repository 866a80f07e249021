"""Users, organizations with members and roles, and tokens: one file in an endpoint's directory.

The file is replaced as a whole, under a lock that all processes respect, so that it can be changed while an endpoint serves
the directory; a running endpoint reads the new file at once. It has only hashes of secrets: a fast hash for tokens, which are
random enough, and scrypt for passwords.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from enum import IntEnum
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal

from pyxet._platform import lock_descriptor
from pyxet.errors import AlreadyExistsError, ConfigError, XetError, XetURLError
from pyxet.private_files import replace_private, version_of
from pyxet.server.names import check_owner
from pyxet.urls import XetURL

Scope = Literal["read", "write"]
Role = Literal["read", "write", "admin"]

_FILE: Final = "people.json"
_LOCK: Final = "people.lock"
_VERSION: Final = 1
# Seconds that another process may take to change the file, and between two tries to get its lock.
_PATIENCE: Final = 30.0
_PAUSE: Final = 0.02
# Cost of scrypt: 16 MiB and some 40 ms for one try.
_SCRYPT: Final = {"n": 1 << 14, "r": 8, "p": 1}
_KEY: Final = 32
# Passwords that were verified lately and are remembered, so that only the first request of a git operation costs a scrypt.
_MOST_VERIFIED: Final = 256


class Right(IntEnum):
    """What somebody may do in a repository; each right includes those before it."""

    NONE = 0
    READ = 1
    WRITE = 2
    ADMIN = 3


@dataclass(frozen=True, slots=True)
class UserToken:
    """A token of a user, without its text.

    Attributes
    ----------
    id:
        The id by which it is listed and revoked.
    user:
        Whose it is.
    name:
        What its owner calls it.
    scope:
        What it allows at the most.
    repos:
        Paths of repositories, or names of owners, to which it is restricted; empty for all that its user may use.
    expires:
        When it ends, in Unix seconds; ``None`` for never.
    """

    id: str
    user: str
    name: str
    scope: Scope
    repos: tuple[str, ...] = ()
    expires: float | None = None


@dataclass(frozen=True)
class People:
    """All that the file says. It is a value: changes make another one.

    Attributes
    ----------
    users:
        Hashes of passwords by the names of users; ``None`` for those without a password.
    orgs:
        Roles of the members, by the names of organizations.
    tokens:
        Tokens by their hashes.
    """

    users: Mapping[str, str | None] = field(default_factory=dict)
    orgs: Mapping[str, Mapping[str, Role]] = field(default_factory=dict)
    tokens: Mapping[str, UserToken] = field(default_factory=dict)

    def token(self, text: str) -> UserToken | None:
        """The token with this text."""
        return self.tokens.get(_digest(text))

    def stands(self, login: str) -> UserToken | None:
        """The token of an earlier `login_of`, or a token that stands for a password that is still the same."""
        return self._logins.get(login)

    @cached_property
    def _logins(self) -> dict[str, UserToken]:
        found = {login_of(stored): user for user, stored in self.users.items() if stored is not None}
        passwords = {login: UserToken(login, user, "", "write") for login, user in found.items()}
        return passwords | {token.id: token for token in self.tokens.values()}

    def role(self, user: str, owner: str) -> Right:
        """What a user may do, at the most, in the repositories of an owner."""
        if user == owner:
            return Right.ADMIN
        role = self.orgs.get(owner, {}).get(user)
        return Right[role.upper()] if role else Right.NONE

    def orgs_of(self, user: str) -> dict[str, Role]:
        """The organizations that a user is a member of, with the role."""
        return {name: members[user] for name, members in self.orgs.items() if user in members}

    # -- changes -------------------------------------------------------------------------------------------------------

    def with_user(self, name: str, password: str | None = None) -> People:
        """With another user.

        Raises
        ------
        AlreadyExistsError
            There is a user or an organization of that name.
        ConfigError
            Nobody can be called so.
        """
        self._check_free(name)
        return replace(self, users={**self.users, name: _hashed(password) if password else None})

    def with_password(self, name: str, password: str | None) -> People:
        """With another password for a user, or none. `ConfigError` if there is no such user."""
        self._check_user(name)
        return replace(self, users={**self.users, name: _hashed(password) if password else None})

    def without_user(self, name: str) -> People:
        """Without a user, their tokens and memberships; their repositories stay. `ConfigError` if there is none."""
        self._check_user(name)
        return People(
            {user: stored for user, stored in self.users.items() if user != name},
            {org: {user: role for user, role in members.items() if user != name} for org, members in self.orgs.items()},
            {digest: token for digest, token in self.tokens.items() if token.user != name},
        )

    def with_org(self, name: str) -> People:
        """With another organization. Raises as `with_user`."""
        self._check_free(name)
        return replace(self, orgs={**self.orgs, name: {}})

    def without_org(self, name: str) -> People:
        """Without an organization; its repositories stay. `ConfigError` if there is none."""
        self._check_org(name)
        return replace(self, orgs={org: members for org, members in self.orgs.items() if org != name})

    def with_member(self, org: str, user: str, role: Role | None) -> People:
        """With a user in an organization in this role, or not in it any more (``None``). `ConfigError` if one is missing."""
        self._check_org(org)
        members = dict(self.orgs[org])
        if role is None:
            if members.pop(user, None) is None:
                raise ConfigError(f"{user!r} is not a member of {org!r}")
        else:
            self._check_user(user)
            members[user] = role
        return replace(self, orgs={**self.orgs, org: members})

    def with_token(
        self, user: str, name: str, scope: Scope, *, repos: tuple[str, ...] = (), expires: float | None = None
    ) -> tuple[People, str]:
        """With another token of a user; its text is told here and nowhere else.

        Raises
        ------
        ConfigError
            There is no such user; the name is not one line of readable characters; one of ``repos`` is neither an owner's
            name nor a repository's path.
        """
        self._check_user(user)
        if not name.isprintable():
            raise ConfigError(f"a token cannot be called {name!r}: a name is one line, without control characters")
        for place in repos:
            _check_place(place)
        text = f"xet_{secrets.token_hex(20)}"
        token = UserToken(secrets.token_hex(4), user, name, scope, repos, expires)
        return replace(self, tokens={**self.tokens, _digest(text): token}), text

    def without_token(self, wanted: str) -> People:
        """Without a token, named by its number or its text. `ConfigError` if there is none."""
        left = {
            digest: token
            for digest, token in self.tokens.items()
            if token.id != wanted and digest != _digest(wanted)
        }  # fmt: skip
        if len(left) == len(self.tokens):
            raise ConfigError("there is no such token; xet serve admin token ls shows what they are called")
        return replace(self, tokens=left)

    def _check_free(self, name: str) -> None:
        check_owner(name)
        for kind, names in (("a user", self.users), ("an organization", self.orgs)):
            # Names must not differ only in case, as some file systems would give them the same folder.
            if same := next((other for other in names if name.lower() == other.lower()), None):
                raise AlreadyExistsError(f"there is {kind} {same!r} already")

    def _check_user(self, name: str) -> None:
        if name not in self.users:
            raise ConfigError(f"there is no user {name!r}; xet serve admin user add {name} makes one")

    def _check_org(self, name: str) -> None:
        if name not in self.orgs:
            raise ConfigError(f"there is no organization {name!r}; xet serve admin org add {name} makes one")


def _check_place(place: str) -> None:
    try:
        url = XetURL.parse(place)
    except XetURLError as error:
        raise ConfigError(f"a token cannot be for {place!r}: {error}") from error
    if url.endpoint is not None or url.level not in ("owner", "repo"):
        raise ConfigError(f"a token cannot be for {place!r}; expected owner, owner/repo or datasets/owner/repo")


class PeopleFile:
    """The file of an endpoint's directory, as it is now.

    Parameters
    ----------
    root:
        The directory.

    Attributes
    ----------
    root:
        The directory.

    Raises
    ------
    ConfigError
        The file cannot be read, or a newer pyxet wrote it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._path = root / _FILE
        self._lock = root / _LOCK
        self._read: tuple[tuple[int, ...] | None, People] = (None, People())
        self._verified: dict[tuple[str, str], None] = {}
        self.refresh()

    @property
    def current(self) -> People:
        """What the file said when it was looked at last."""
        return self._read[1]

    def refresh(self) -> None:
        """Look at the file again. Blocks, for a moment. Raises `ConfigError` as the constructor does."""
        seen = version_of(self._path)
        if self._read[0] != seen:
            # If the file is replaced meanwhile, the next call reads it again.
            self._read = (seen, _parsed(self._path))

    def change(self, change: Callable[[People], People]) -> People:
        """Replace the file by what a function makes of it; processes that do so take turns.

        Raises
        ------
        ConfigError
            The directory is no endpoint's or cannot be written to, or another process does not come to an end.
        """
        try:
            with _locked(self._lock):
                changed = change(_parsed(self._path))
                _write(self._path, changed)
        except XetError:
            raise
        except OSError as error:
            raise ConfigError(f"{self._path} cannot be changed: {error.strerror or error}") from error
        return changed

    def is_verified(self, user: str, password: str) -> bool:
        """Whether `is_password` has found lately that this is the user's password, so that it need not compute again."""
        stored = self.current.users.get(user)
        return stored is not None and (stored, _digest(password)) in self._verified

    def is_password(self, user: str, password: str) -> str | None:
        """The stored hash of a user's password, if this is it. It takes a while, whether there is such a user or not."""
        stored = self.current.users.get(user)
        if self.is_verified(user, password):
            return stored
        seen = (stored or "", _digest(password))
        if not _is_hash_of(stored or _NOBODY, password) or stored is None:
            return None
        if len(self._verified) >= _MOST_VERIFIED:
            self._verified.clear()
        self._verified[seen] = None
        return stored


def login_of(stored: str) -> str:
    """The value that represents a password in the claims of Xet tokens; it changes with the password."""
    return f"password:{_digest(stored)[:16]}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def _hashed(password: str) -> str:
    salt = secrets.token_bytes(16)
    key = hashlib.scrypt(password.encode(errors="surrogatepass"), salt=salt, dklen=_KEY, **_SCRYPT)
    return f"scrypt:{salt.hex()}:{key.hex()}"


# The hash that a password is compared to if there is no such user.
_NOBODY: Final = f"scrypt:{'00' * 16}:{'00' * _KEY}"


def _is_hash_of(stored: str, password: str) -> bool:
    _, salt, key = stored.split(":")
    found = hashlib.scrypt(
        password.encode(errors="surrogatepass"), salt=bytes.fromhex(salt), dklen=_KEY, **_SCRYPT
    )  # fmt: skip
    return hmac.compare_digest(found, bytes.fromhex(key))


def _parsed(path: Path) -> People:
    try:
        said = json.loads(path.read_bytes())
        if said["version"] > _VERSION:
            raise ConfigError(f"{path} has format {said['version']}, which is newer than this pyxet; update it")
        return People(
            dict(said["users"]),
            {org: dict(members) for org, members in said["orgs"].items()},
            {digest: _token(fields) for digest, fields in said["tokens"].items()},
        )
    except FileNotFoundError:
        return People()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(
            f"{path} is damaged ({error}); put a copy of it back, or remove it and add people anew"
        ) from error


def _token(fields: dict[str, Any]) -> UserToken:
    return UserToken(**{**fields, "repos": tuple(fields["repos"])})


def _write(path: Path, people: People) -> None:
    said = {
        "version": _VERSION,
        "users": dict(people.users),
        "orgs": {org: dict(members) for org, members in people.orgs.items()},
        "tokens": {digest: asdict(token) for digest, token in people.tokens.items()},
    }
    replace_private(path, json.dumps(said, indent=1))


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock file; `ConfigError` if another process holds it for long."""
    until = time.monotonic() + _PATIENCE
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        while not lock_descriptor(descriptor):
            if time.monotonic() > until:
                raise ConfigError(f"another process holds {path}; end it and try again")
            time.sleep(_PAUSE)
        yield
    finally:
        os.close(descriptor)
