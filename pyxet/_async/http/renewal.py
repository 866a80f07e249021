"""Handles tokens that change: they are looked up again when they are refused, and renewed before they expire.

The sources of tokens and the ways of renewal are those of huggingface_hub, so one login serves both.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import math
import os
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import urlencode

from pyxet._async.http.messages import Answer, Body
from pyxet._async.http.place import EmbeddedPlace, Place
from pyxet._async.runtime.tasks import SingleFlight, finish
from pyxet._async.runtime.threads import in_own_thread, in_thread, surely, to_end
from pyxet.config import Credential, is_embedded
from pyxet.errors import AuthenticationError, ConfigError, RemoteError, XetError
from pyxet.hub_login import HubLogin, hub_login, store, stored_login, stored_tokens_file
from pyxet.secrets import Secret

T = TypeVar("T")

# A login of the Hub is renewed this many seconds before it expires; if that fails, the next try is after as many seconds.
_DAY: Final = 24 * 3600
_AGAIN: Final = 300
# The token of a CI job is exchanged again this many seconds before it expires, if that is possible.
_MARGIN: Final = 300
# Time-out in seconds of a request that renews a login, and of waiting for another process that does so.
_PATIENCE: Final = 30.0
_PAUSE: Final = 0.1
# Assumed lifetime of a token in seconds, if the endpoint does not tell it.
_USUAL_LIFE: Final = 3600
# The name under which the Hub knows command-line tools; it is no secret.
_CLIENT_ID: Final = "26be6b09-91c5-47da-9861-d2d2bb7a7e36"
_log: Final = logging.getLogger("pyxet")

# Tokens of CI jobs with the times when they expire: by endpoint, resource and given identity token.
_exchanged: dict[tuple[str, str, str], tuple[Secret, float]] = {}
# Tokens of logins that cannot be renewed any more.
_ended: set[Secret] = set()


class Requests(Protocol):
    """Makes the requests by which a token is obtained."""

    async def request(
        self, method: str, url: str, *, what: str, bearer: str | None = ..., params: Any = ..., body: Body | None = ...,
        retry: Callable[[BaseException], bool] = ...,
    ) -> Answer:  # fmt: skip
        """See `Transport.request`."""


class _Question:
    """One call of a function that was given as ``token``."""

    def __init__(self, place: Place) -> None:
        self.place = place
        # Tasks that the function leaves running may make requests once it has returned.
        self.is_open = True


# The calls of token functions that the running code is part of. Threads do not inherit it, but calls that they hand to a
# loop do.
_questions: ContextVar[tuple[_Question, ...]] = ContextVar("pyxet_questions", default=())

# Requests with another credential.
With = Callable[[Credential], Requests]


class TokenPlace(Place):
    """The place of an endpoint at a fixed URL whose token may change.

    Parameters
    ----------
    credential:
        The endpoint, and the token or its source.
    requests:
        Makes requests with another credential, or with none.
    """

    def __init__(self, credential: Credential, requests: With) -> None:
        super().__init__(credential)
        self._requests = requests
        # Time (Unix seconds) when the token expires, as far as is known.
        self._until = math.inf if credential.origin == "found" else 0.0
        self._looking: SingleFlight[None, None] = SingleFlight()

    async def here(self) -> Credential:
        if time.time() >= self._until:
            await self._find(None)
        return self._at

    async def moved(self, left: Credential, *, gone: bool, own: bool, since: int) -> Credential | None:
        if gone or not own:
            return None
        if self.looks == since:
            await self._find(left.token)
        return self._at if self._at.token != left.token else None

    def check_caller(self) -> None:
        if any(question.is_open and question.place is self for question in _questions.get()):
            raise ConfigError(
                "the function given as token= uses the file system that waits for its answer; let it use another one, "
                'made with token="" or a token of its own'
            )

    async def _find(self, refused: Secret | None) -> None:
        self.check_caller()
        await self._looking.run(None, lambda: self._look(refused))

    async def _look(self, refused: Secret | None) -> None:
        """Look up the token again, and renew it if it expires soon or was refused."""
        assert self._at.again is not None
        found = await in_thread(self._at.again)
        until = math.inf
        if found.origin == "asked":
            found = replace(found, token=await _asked(found, self))
        elif found.origin == "oidc":
            found, until = await _exchange(found, refused, self._requests)
        elif found.origin == "hub":
            found, until = await _renewed(found, refused, self._requests)
        self._at, self._until = found, until
        self.looks += 1


def place_of(credential: Credential, requests: With) -> Place:
    """The place of a credential's endpoint."""
    if is_embedded(credential.endpoint):
        return EmbeddedPlace(credential)
    return Place(credential) if credential.again is None else TokenPlace(credential, requests)


# -- functions ---------------------------------------------------------------------------------------------------------


async def _asked(found: Credential, place: Place) -> Secret | None:
    """The result of the function that was given as ``token``."""
    function = found.ask
    assert function is not None
    question = _Question(place)
    questions = (*_questions.get(), question)
    _questions.set(questions)
    try:
        if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None)):  # noqa: B004  # of an object
            said = function()
        else:
            # In a worker thread, as it may read a file or make requests.
            said = await in_own_thread(_answering, questions, function)
        if isinstance(said, Awaitable):
            said = await said
    except SystemExit as ending:
        # These would end the event loop, and with it the calls of all others.
        raise RuntimeError(f"the function given as token= raised {ending!r}") from ending
    finally:
        question.is_open = False
    if said is not None and not isinstance(said, (str, Secret)):
        raise ConfigError(f"the function given as token= returned a {type(said).__name__}; expected a string or None")
    return Secret(said) if said else None


def _answering(questions: tuple[_Question, ...], function: Callable[[], T]) -> T:
    """Call the function in a worker thread, so that requests of its own are recognized."""
    before = _questions.set(questions)
    try:
        return function()
    finally:
        _questions.reset(before)


# -- CI jobs -----------------------------------------------------------------------------------------------------------


async def _exchange(found: Credential, refused: Secret | None, requests: With) -> tuple[Credential, float]:
    """The token for which a CI job's identity is exchanged (RFC 8693), and until when it is good."""
    resource, given = os.environ.get("HF_OIDC_RESOURCE", ""), os.environ.get("HF_OIDC_ID_TOKEN", "")
    key = found.endpoint, resource, given
    token, until = _exchanged.get(key, (None, 0.0))
    if token is None or token == refused or time.time() >= until:
        identity = Secret(given) if given else await _github_identity(found.endpoint, requests)
        now = time.time()
        try:
            made = await _oauth(
                requests(Credential(found.endpoint)),
                f"exchanging the identity of this job for a token for {resource}",
                Body.json({
                    "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
                    "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
                    "subject_token": identity.reveal(),
                    "resource": resource,
                }),
            )  # fmt: skip
        except RemoteError as error:
            if error.status is None or error.status >= 500 or error.status == 429:
                raise
            raise AuthenticationError(f"{_bare(error)}; {found.remedy}", status=error.status) from error
        # An identity token that was given cannot be obtained again, so renewing early is of no use.
        margin = 0 if given else _MARGIN
        token = made.access_token
        until = now + max(0, (_USUAL_LIFE if made.expires_in is None else made.expires_in) - margin)
        _exchanged.clear()
        _exchanged[key] = token, until
    return replace(found, token=token), until


async def _github_identity(endpoint: str, requests: With) -> Secret:
    """The identity token of a job of GitHub Actions."""
    from pyxet.protocol.messages import IdentityToken, decode

    if os.environ.get("GITHUB_ACTIONS") != "true":
        raise ConfigError(
            "HF_OIDC_RESOURCE is set, but this is not a GitHub Actions job; put the identity token of your CI into "
            "HF_OIDC_ID_TOKEN, or unset HF_OIDC_RESOURCE"
        )
    url, bearer = (os.environ.get(f"ACTIONS_ID_TOKEN_REQUEST_{name}") for name in ("URL", "TOKEN"))
    advice = "give the job the permission id-token: write"
    if not url or not bearer:
        raise ConfigError(
            f"HF_OIDC_RESOURCE is set, but this GitHub Actions job may not request an identity token; {advice}"
        )
    what = "asking GitHub Actions for this job's identity"
    try:
        answer = await requests(Credential(endpoint)).request(
            "GET", url, what=what, bearer=bearer, params={"audience": endpoint}
        )  # fmt: skip
    except RemoteError as error:
        raise AuthenticationError(f"{what}: it answered {error.status}; {advice}", status=error.status) from error
    return decode(answer.body, IdentityToken, what=what).value


# -- logins of the Hub's tool ------------------------------------------------------------------------------------------


async def _renewed(found: Credential, refused: Secret | None, requests: With) -> tuple[Credential, float]:
    """The token of the Hub's login, renewed if it ends within a day or was refused, and when to look at it again."""
    login = await in_thread(hub_login)
    if login is None:
        return found, math.inf
    until = math.inf
    if login.name is None or login.refresh_token is None or login.expires_at is None:
        pass
    elif login.token != refused and login.expires_at - _DAY > time.time():
        until = login.expires_at - _DAY
    elif login.token not in _ended:
        try:
            login = await _renew(login, requests(Credential(found.endpoint)))
            # A lifetime of less than a day must not lead to a renewal with each request.
            until = max(time.time() + _AGAIN, login.expires_at - _DAY if login.expires_at else 0)
        except (XetError, OSError, TimeoutError) as error:
            # It may still be valid for a while; if not, the endpoint will refuse it.
            if isinstance(error, RemoteError) and "invalid_grant" in error.message:
                _ended.add(login.token)
                _log.warning("the Hub login %s has ended and cannot be renewed; run hf auth login", login.name)
            else:
                until = time.time() + _AGAIN
                _log.warning("the Hub login %s was not renewed, and will be tried again: %s", login.name, _bare(error))
    return replace(found, token=login.token, account=login.account), until


async def _renew(login: HubLogin, requests: Requests) -> HubLogin:
    """Renew a login, unless another process has done so: the endpoint accepts each refresh token once."""
    import filelock

    assert login.name is not None
    lock = filelock.FileLock(f"{stored_tokens_file()}.lock", mode=0o664, thread_local=False)
    clock = asyncio.get_running_loop().time
    until = clock() + _PATIENCE
    while not await to_end(_try, lock, undo=lambda taken: lock.release() if taken else None):
        if clock() > until:
            raise TimeoutError(f"another process holds {lock.lock_file}")
        await asyncio.sleep(_PAUSE)
    # Not to be cancelled: once the endpoint has accepted the refresh token, the new one must be written down.
    return await finish(_renew_held(login, login.name, lock, requests))


def _try(lock: Any) -> bool:
    import filelock

    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        return False
    return True


async def _renew_held(login: HubLogin, name: str, lock: Any, requests: Requests) -> HubLogin:
    try:
        now = await in_thread(stored_login, name)
        if now is None or now.token != login.token or now.refresh_token is None:
            return now or login
        began = int(time.time())
        fields = {
            "grant_type": "refresh_token",
            "refresh_token": now.refresh_token.reveal(),
            "client_id": os.environ.get("HF_DEVICE_CODE_OAUTH_CLIENT_ID") or _CLIENT_ID,
        }
        body = Body((urlencode(fields).encode(),), "application/x-www-form-urlencoded")
        async with asyncio.timeout(_PATIENCE):
            made = await _oauth(requests, f"renewing the Hub login {name}", body, retry=lambda error: False)
        renewed = HubLogin(
            made.access_token,
            name,
            made.refresh_token or now.refresh_token,
            None if made.expires_in is None else began + made.expires_in,
        )
        await surely(store, renewed, login.token)
        return renewed
    finally:
        await surely(lock.release)


async def _oauth(requests: Requests, what: str, body: Body, **options: Any) -> Any:
    from pyxet.protocol.messages import OAuthToken, decode

    answer = await requests.request("POST", "/oauth/token", what=what, body=body, **options)
    return decode(answer.body, OAuthToken, what=what)


def _bare(error: BaseException) -> str:
    """The message of an error, without advice that fits other requests only."""
    return str(error).partition(" (")[0]
