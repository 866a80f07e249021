"""Account tokens, Xet tokens, signed URLs and upload grants of an endpoint: how they are issued and checked.

Account tokens are what users send to the Hub routes. Xet tokens and URL signatures carry their own claims under an HMAC
with a key that is kept in the endpoint's directory, so they survive a restart.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlencode

from pyxet._platform import sync_folder
from pyxet._platform_files import replace
from pyxet.errors import AccessDeniedError, AuthenticationError
from pyxet.server.people import PeopleFile, Scope, UserToken, login_of

ObjectAction = Literal["download", "upload", "verify"]
XET_TOKEN_LIFE: Final = 3600
URL_LIFE: Final = 3600
# Prefix of the signed text of tickets for LFS objects; no other text that is signed with the same key begins with it.
_OBJECT: Final = "object\n"
# Hex digits of the parts of a grant's id: its owner, and the signature.
_OWNER: Final = 16
_GRANT_SIGNATURE: Final = 32


@dataclass(frozen=True, slots=True)
class Account:
    """The account that a token or a password belongs to.

    Attributes
    ----------
    user:
        The user's name.
    scope:
        Upper limit of what the account may do.
    expires:
        When the account's access ends, in Unix seconds; ``None`` for never.
    repos:
        Paths of repositories, or names of owners, that the account is restricted to; empty if it is not restricted.
    login:
        The id of the token, or the `login_of` the password; ``None`` for tokens that only this process knows.
    name:
        What the user calls the token.
    """

    user: str
    scope: Scope
    expires: float | None = None
    repos: tuple[str, ...] = ()
    login: str | None = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class Claims:
    """The content of a Xet token: the path of the repository that it is for, its scope and its user.

    ``runs_it`` tells whether that user ran the endpoint: when the token is used, another process may serve the directory, with
    another user name. ``login`` is that of the account; when it becomes invalid, the Xet token does, too.
    """

    repo: str
    scope: Scope
    user: str
    runs_it: bool = False
    login: str | None = None


@dataclass(frozen=True, slots=True)
class ObjectClaims:
    """The content of a signed URL of an LFS object: what may be done with which object, and by whom.

    Attributes
    ----------
    sha256, size:
        The object: SHA-256 in hex, and bytes.
    claims:
        As in a Xet token.
    """

    action: ObjectAction
    sha256: str
    size: int
    claims: Claims


class Tokens:
    """All tokens of one endpoint.

    Attributes
    ----------
    token_life, url_life:
        Seconds for which Xet tokens and signed URLs are valid.
    """

    def __init__(self, secret: bytes, clock: Callable[[], float] = time.time, people: PeopleFile | None = None) -> None:
        self.people: Final = people
        self._secret = secret
        self._clock = clock
        self._accounts: dict[str, Account] = {}
        self.token_life: float = XET_TOKEN_LIFE
        self.url_life: float = URL_LIFE

    @classmethod
    def open(cls, root: Path) -> Tokens:
        """The tokens of an endpoint's directory, whose signing key is made on first use, readable by its owner only."""
        path = root / "secret"
        people = PeopleFile(root)
        try:
            return cls(path.read_bytes(), people=people)
        except FileNotFoundError:
            secret = secrets.token_bytes(32)
            temporary = path.with_suffix(".new")
            with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(secret)
                file.flush()
                os.fsync(file.fileno())
            replace(temporary, path)
            sync_folder(root)
            return cls(secret, people=people)

    def add_account(self, token: str, account: Account) -> None:
        """Accept a token for an account."""
        self._accounts[token] = account

    def account(self, token: str) -> Account:
        """The account of a token; `AuthenticationError` if it is unknown or has ended."""
        account = self._accounts.get(token)
        if account is None and self.people is not None:
            found = self.people.current.token(token)
            account = _account(found) if found is not None else None
        if account is None:
            raise _invalid()
        self._check_end(account)
        return account

    def is_verified(self, user: str, password: str) -> bool:
        """Whether `password_account` returns at once, as it has verified this password lately."""
        return self.people is not None and self.people.is_verified(user, password)

    def password_account(self, user: str, password: str) -> Account:
        """The account of a user with a password; `AuthenticationError` if it is not theirs. Blocks while it is hashed."""
        stored = self.people.is_password(user, password) if self.people is not None else None
        if stored is None:
            raise _invalid()
        return Account(user, "write", login=login_of(stored))

    def claimant(self, claims: Claims) -> Account:
        """The account that a Xet token was made for, with its current rights.

        Raises
        ------
        AuthenticationError
            The token or password that it was made with is not valid any more.
        """
        if claims.login is None:
            return Account(claims.user, claims.scope)
        found = self.people.current.stands(claims.login) if self.people is not None else None
        if found is None:
            raise AuthenticationError("the token that this Xet token was made with has been revoked", status=401)
        account = _account(found)
        self._check_end(account)
        return account

    def _check_end(self, account: Account) -> None:
        if account.expires is not None and account.expires <= self._clock():
            raise AuthenticationError("this token has expired", status=401)

    def is_known(self, token: str) -> bool:
        """Whether a text is a valid token: that of an account, or a Xet token."""
        with suppress(AuthenticationError):
            self.account(token)
            return True
        with suppress(AuthenticationError):
            self.claimant(self.check(token, "read"))
            return True
        return False

    def mint_for(self, claims: Claims) -> tuple[str, int]:
        """A Xet token with these claims, and when it ends (Unix seconds)."""
        return self.mint(claims.repo, claims.scope, claims.user, runs_it=claims.runs_it, login=claims.login)

    def mint(
        self, repo: str, scope: Scope, user: str, *, runs_it: bool = False, login: str | None = None
    ) -> tuple[str, int]:
        """A Xet token for a repository, and when it ends (Unix seconds)."""
        expires = int(self._clock() + self.token_life)
        told = {"repo": repo, "scope": scope, "user": user, "all": runs_it, "login": login, "exp": expires}
        claims = json.dumps(told).encode()
        body = base64.urlsafe_b64encode(claims).decode()
        return f"xet_{body}.{self._sign(body)}", expires

    def check(self, token: str, scope: Scope) -> Claims:
        """Check that a Xet token is valid and covers ``scope``, and return its claims; a write token also covers reading.

        Raises
        ------
        AuthenticationError, AccessDeniedError
            The token was not issued here or has ended; or it only reads.
        """
        body, _, signature = token.removeprefix("xet_").partition(".")
        if not _same(self._sign(body), signature):
            raise AuthenticationError("this is not a valid Xet token", status=401)
        claims = json.loads(base64.urlsafe_b64decode(body))
        if claims["exp"] <= self._clock():
            raise AuthenticationError("this Xet token has expired", status=401)
        if scope == "write" and claims["scope"] != "write":
            raise AccessDeniedError("this Xet token only reads", status=403)
        return Claims(claims["repo"], claims["scope"], claims["user"], claims.get("all", False), claims.get("login"))

    def signed_query(self, xorb: str, ranges: Sequence[tuple[int, int]]) -> str:
        """The query of a signed URL for reading only these byte ranges (start, end) of a xorb, during `url_life`."""
        spans = ",".join(f"{start}-{end - 1}" for start, end in ranges)
        expires = int(self._clock() + self.url_life)
        return urlencode({"ranges": spans, "expires": expires, "signature": self._sign(f"{xorb}\n{spans}\n{expires}")})

    def check_query(self, xorb: str, query: Mapping[str, str], wanted: Sequence[tuple[int, int]]) -> None:
        """Check that a signed URL allows reading these ranges (start, end).

        Each has to lie inside of a signed range; it may be shorter, as a read that broke off resumes in the middle.

        Raises
        ------
        AccessDeniedError
            The URL was changed or has expired, or it is for other bytes; or no range is wanted.
        """
        spans, expires = query.get("ranges", ""), query.get("expires", "")
        if not _same(self._sign(f"{xorb}\n{spans}\n{expires}"), query.get("signature", "")):
            raise AccessDeniedError("the URL's signature is not valid", status=403)
        if int(expires) <= self._clock():
            raise AccessDeniedError("the URL has expired; ask for a new reconstruction", status=403)
        signed = [tuple(int(end) for end in span.split("-")) for span in spans.split(",")]
        inside = [any(first <= start < end <= last + 1 for first, last in signed) for start, end in wanted]
        if not inside or not all(inside):
            raise AccessDeniedError("the URL is signed for other byte ranges", status=403)

    def object_ticket(self, claims: ObjectClaims) -> str:
        """The ticket in a signed URL of an LFS object: the claims and their signature, valid during `url_life`."""
        told = asdict(claims) | {"exp": int(self._clock() + self.url_life)}
        body = base64.urlsafe_b64encode(json.dumps(told).encode()).decode().rstrip("=")
        return f"{body}.{self._sign(_OBJECT + body)}"

    def check_ticket(self, ticket: str, action: ObjectAction, sha256: str) -> ObjectClaims:
        """Check the ticket in a signed URL of an LFS object for one action, and return its claims.

        Raises
        ------
        AccessDeniedError
            The URL was changed or has expired, or is for another object or action.
        """
        body, _, signature = ticket.partition(".")
        if not _same(self._sign(_OBJECT + body), signature):
            raise AccessDeniedError("the URL's signature is not valid", status=403)
        told = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        if told["exp"] <= self._clock():
            raise AccessDeniedError("the URL has expired; ask for a new one", status=403)
        if (told["action"], told["sha256"]) != (action, sha256):
            raise AccessDeniedError("the URL is signed for something else", status=403)
        return ObjectClaims(action, sha256, told["size"], Claims(**told["claims"]))

    def new_grant(self, xorb: str, user: str, repo: str) -> str:
        """The id of a new grant to send a xorb for a repository."""
        owner, nonce = self._sign(f"owner of grants\n{user}")[:_OWNER], secrets.token_hex(16)
        return f"{owner}-{nonce}-{self._sign(_grant_text(xorb, user, repo, nonce))[:_GRANT_SIGNATURE]}"

    def is_grant_of(self, grant: str, xorb: str, user: str, repo: str) -> bool:
        """Whether an id is that of a grant which this user got for this xorb and repository."""
        _, _, rest = grant.partition("-")
        nonce, _, signature = rest.partition("-")
        return _same(self._sign(_grant_text(xorb, user, repo, nonce))[:_GRANT_SIGNATURE], signature)

    def grant_owner(self, grant: str) -> str:
        """The part of a grant's id that represents its user. Only `check_upload` makes sure that it is genuine."""
        return grant[:_OWNER]

    def signed_upload(self, xorb: str, grant: str, length: int, checksum: int) -> str:
        """The query of a signed URL for sending only bytes of this length and checksum for a grant, during `url_life`."""
        expires = int(self._clock() + self.url_life)
        signature = self._sign(_upload_text(xorb, grant, str(length), str(checksum), str(expires)))
        return urlencode({"length": length, "crc64nvme": checksum, "expires": expires, "signature": signature})

    def check_upload(self, xorb: str, grant: str, query: Mapping[str, str]) -> tuple[int, int]:
        """Length and checksum of the bytes that a signed URL allows; `AccessDeniedError` if it was changed or has expired."""
        length, checksum, expires = (query.get(name, "") for name in ("length", "crc64nvme", "expires"))
        if not _same(self._sign(_upload_text(xorb, grant, length, checksum, expires)), query.get("signature", "")):
            raise AccessDeniedError("the URL's signature is not valid", status=403)
        if int(expires) <= self._clock():
            raise AccessDeniedError("the URL has expired; ask for a new grant", status=403)
        return int(length), int(checksum)

    def _sign(self, text: str) -> str:
        return hmac.new(self._secret, text.encode(errors="replace"), hashlib.sha256).hexdigest()


def _account(token: UserToken) -> Account:
    return Account(token.user, token.scope, token.expires, token.repos, token.id, token.name)


def _invalid() -> AuthenticationError:
    return AuthenticationError("Invalid credentials in Authorization header", status=401)


def _grant_text(xorb: str, user: str, repo: str, nonce: str) -> str:
    return f"grant\n{xorb}\n{user}\n{repo}\n{nonce}"


def _upload_text(xorb: str, grant: str, length: str, checksum: str, expires: str) -> str:
    return f"upload\n{xorb}\n{grant}\n{length}\n{checksum}\n{expires}"


def _same(expected: str, given: str) -> bool:
    """Compare in constant time; what a client sends need not be ASCII."""
    return hmac.compare_digest(expected.encode(), given.encode(errors="replace"))
