"""The endpoint, the credential and the limits that pyxet uses: frozen values, read once when a file system is made."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Awaitable, Callable, Hashable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final, Literal
from urllib.parse import unquote

from pyxet._platform import after_fork, allowed_processors, machine_memory
from pyxet._platform_files import remove
from pyxet.errors import AlreadyExistsError, ConfigError
from pyxet.hub_login import account_in_use, clean, hub_login, token_file
from pyxet.local_rules import file_url, is_absolute, of_file_url
from pyxet.options import public
from pyxet.private_files import changing, replace_private, version_of
from pyxet.secrets import Secret
from pyxet.urls import endpoint_url

DEFAULT_ENDPOINT: Final = "https://huggingface.co"
LOCAL_ENDPOINT: Final = "local"
_MIB: Final = 1024 * 1024
_MIN_MEMORY: Final = 16 * _MIB
_MIN_BANDWIDTH: Final = 16 * 1024
_VARIABLES: Final = (
    "XET_ENDPOINT", "XET_USER_NAME", "XET_USER_TOKEN", "HF_ENDPOINT", "HF_OIDC_RESOURCE", "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_HOME", "XDG_CACHE_HOME", "HOME",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often, and after which delays, failed requests are tried again.

    Attributes
    ----------
    attempts:
        Maximum number of tries, the first included.
    base_delay, max_delay:
        The first delay in seconds, which doubles (with jitter) for each retry, and the longest delay.
    max_retry_after:
        Longest wait in seconds that an endpoint may ask for, by ``Retry-After`` or because a quota of requests is used up
        (``RateLimit``). If it asks for a longer one, the call fails at once. The Hub's quotas have windows of 300 s.
    """

    attempts: int = 6
    base_delay: float = 0.3
    max_delay: float = 20.0
    max_retry_after: float = 330.0

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.base_delay < 0 or self.max_delay < self.base_delay:
            raise ConfigError(f"{self}: attempts must be at least 1 and the delays ordered and not negative")


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Time-outs in seconds.

    Attributes
    ----------
    connect:
        For opening a connection, including the TLS handshake.
    response:
        From the end of the request to the first byte of the answer.
    progress:
        Longest time in which no byte of a body is sent or received.
    min_speed:
        Lowest speed of an answer's body, in bytes per second: a body that stays below it for ``progress`` seconds of
        waiting counts as stalled. 0 accepts any speed.
    """

    connect: float = 10.0
    response: float = 120.0
    progress: float = 60.0
    min_speed: float = 1024.0

    def __post_init__(self) -> None:
        if not all(seconds > 0 for seconds in (self.connect, self.response, self.progress)):
            raise ConfigError(f"{self}: time-outs must be positive")
        if not self.min_speed >= 0:
            raise ConfigError(f"{self}: min_speed is in bytes per second and must not be negative")


def _of_cgroup(controller: str, name: str, *old_names: str) -> list[str]:
    """The values of a setting in this process's control group and in the groups above it.

    Parameters
    ----------
    controller:
        The controller in version 1 of cgroups.
    name, old_names:
        The file of version 2, and the files of version 1 whose contents, joined by blanks, say the same.
    """
    root = Path("/sys/fs/cgroup")
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    groups = {(root, (name,)): "", (root / controller, old_names): ""}
    for line in lines:
        _, controllers, group = [*line.split(":", 2), "", ""][:3]
        if not controllers:
            groups[root, (name,)] = group.strip("/")
        elif controller in controllers.split(","):
            groups[root / controller, old_names] = group.strip("/")
    found = []
    for (folder, names), group in groups.items():
        # In a container, the group's path may exist on the host only; then the file at the root is this container's.
        for place in (folder / group, *(folder / group).parents):
            with suppress(OSError):
                found.append(" ".join((place / file).read_text(encoding="utf-8").strip() for file in names))
            if place == folder:
                break
    return found


def default_memory() -> int:
    """The default of `Limits.memory` in bytes: a quarter of the cgroup's or machine's memory, 16 to 256 MiB."""
    limits = _of_cgroup("memory", "memory.max", "memory.limit_in_bytes")
    total = min([machine_memory(), *(int(text) for text in limits if text.isdigit())])
    return max(_MIN_MEMORY, min(total // 4, 256 * _MIB))


def usable_cores() -> int:
    """Number of processors that this process may use, by its affinity and by the quota of its cgroup (rounded up)."""
    cores = [allowed_processors()]
    for text in _of_cgroup("cpu", "cpu.max", "cpu.cfs_quota_us", "cpu.cfs_period_us"):
        # "max", or -1 in version 1, stands for no quota.
        quota, _, period = text.partition(" ")
        if quota.isdigit() and period.isdigit() and int(period) > 0:
            cores.append(-(-int(quota) // int(period)))
    return max(1, min(cores))


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits for the whole process, shared by all its file systems, loops and threads.

    Attributes
    ----------
    concurrency:
        Maximum number of requests in flight. An endpoint gets a few at first, and more as long as that is faster.
    memory:
        Bytes of file content in flight.
    bandwidth:
        Bytes per second of requests and answers together, without headers; ``None`` for no limit. All file systems that
        have a limit share it.
    """

    concurrency: int = 64
    memory: int = field(default_factory=default_memory)
    bandwidth: int | None = None

    def __post_init__(self) -> None:
        if self.concurrency < 1:
            raise ConfigError(f"Limits.concurrency is {self.concurrency}; it must be at least 1")
        if self.memory < _MIN_MEMORY:
            raise ConfigError(f"Limits.memory is {self.memory:,} bytes; it must be at least 16 MiB")
        if self.bandwidth is not None and self.bandwidth < _MIN_BANDWIDTH:
            raise ConfigError(f"Limits.bandwidth is {self.bandwidth:,} bytes per second; it must be at least 16 KiB")


# A function that returns a token. It is called in a thread, or awaited on the loop that needs the token.
TokenFunction = Callable[[], "str | Secret | Awaitable[str | Secret | None] | None"]
# Where a token comes from. If it is refused, one that was given is not replaced, one that was found is looked up again, and
# the others are requested again.
Origin = Literal["given", "found", "asked", "hub", "oidc"]


@dataclass(frozen=True, slots=True)
class Credential:
    """A user and token, bound to one endpoint.

    Attributes
    ----------
    source:
        Where the token came from, as a phrase that follows "the token" in messages.
    remedy:
        What to do if the token is not accepted.
    origin:
        ``given``: an argument; ``found``: in a login, a variable or a file; ``asked``: returned by a function; ``hub``: of a
        login with the Hub's tool, which is renewed; ``oidc``: exchanged for the identity of a CI job.
    account:
        An id of the account that stays the same when the token changes; ``None`` if there is none.
    ask:
        The function that returns the token.
    again:
        Looks up the credential again; ``None`` if that is of no use. Blocks.
    """

    endpoint: str
    user: str | None = None
    token: Secret | None = None
    source: str = field(default="that was given", compare=False, repr=False)
    remedy: str | None = field(default=None, compare=False, repr=False)
    origin: Origin = field(default="given", compare=False, repr=False)
    account: Hashable = field(default=None, compare=False, repr=False)
    ask: TokenFunction | None = field(default=None, compare=False, repr=False)
    again: Callable[[], Credential] | None = field(default=None, compare=False, repr=False)

    @property
    def identity(self) -> Hashable:
        """The account, or the token if no account is known."""
        return self.account if self.account is not None else self.token


_logins: dict[str, Credential] = {}
_login_host: str | None = None
_login_lock = threading.RLock()  # reentrant: the garbage collector may end an object that makes a file system


def _after_fork() -> None:
    # Another thread may have held the old lock at the moment of the fork.
    global _login_lock
    _login_lock = threading.RLock()


after_fork(_after_fork)


def login(
    user: str,
    token: str,
    email: str | None = None,
    host: str | None = None,
    *,
    save: bool = False,
    overwrite: bool = True,
) -> None:
    """Set the user and token for an endpoint in this process, without a check of the token; see `pyxet.account.login`.

    Raises
    ------
    ConfigError
        The user or the token is empty; the file cannot be read or written.
    AlreadyExistsError
        A login for the endpoint is saved, and ``overwrite`` is false.
    """
    global _login_host
    del email
    if not user or not token:
        raise ConfigError("login needs a user and a token, neither of them empty")
    endpoint = endpoint_url(host) if host is not None else resolve_endpoint()
    if save:
        with _changing_logins():
            saved = _saved_logins()
            if endpoint in saved and not overwrite:
                raise AlreadyExistsError(f"a login for {endpoint} is saved already")
            _save_logins({**saved, endpoint: {"user": user, "token": token}})
    with _login_lock:
        _logins[endpoint] = Credential(
            endpoint, user, Secret(token), "of pyxet.login", "call it with another one", "found"
        )
        if host is not None:
            _login_host = endpoint


@public()
def logout(host: str | None = None, *, saved: bool = False) -> list[str]:
    """Forget the login of one endpoint, or all logins of this process.

    Parameters
    ----------
    host:
        The endpoint; ``None`` for all.
    saved:
        Whether to remove the login, or all logins, from the file of ``xet login`` as well.

    Returns
    -------
    list of str
        The endpoints whose saved logins were removed.

    Raises
    ------
    ConfigError
        The file cannot be read or written.
    """
    global _login_host
    removed: list[str] = []
    if saved and _saved_logins():
        with _changing_logins():
            logins = _saved_logins()
            removed = [endpoint for endpoint in logins if host is None or endpoint == endpoint_url(host)]
            if removed:
                _save_logins({endpoint: entry for endpoint, entry in logins.items() if endpoint not in removed})
    with _login_lock:
        if host is None:
            _logins.clear()
            _login_host = None
        else:
            endpoint = endpoint_url(host)
            _logins.pop(endpoint, None)
            if _login_host == endpoint:
                _login_host = None
    return removed


def resolve_endpoint(argument: str | None = None, in_url: str | None = None) -> str:
    """The endpoint to use: the first of argument, URL, login, ``XET_ENDPOINT``, ``HF_ENDPOINT`` that is set, or the Hub.

    Returns
    -------
    str
        An origin such as ``https://huggingface.co``, or ``local`` or ``file:///dir`` for the embedded local endpoint.

    Raises
    ------
    XetURLError
        The chosen value is not an endpoint.
    ConfigError
        A ``file:`` endpoint without an absolute directory.
    """
    for candidate in (argument, in_url, _login_host, os.environ.get("XET_ENDPOINT"), os.environ.get("HF_ENDPOINT")):
        if candidate:
            return _normal_endpoint(candidate)
    return DEFAULT_ENDPOINT


def is_embedded(endpoint: str) -> bool:
    """Whether the endpoint is an embedded one, which pyxet itself serves from a local directory."""
    return endpoint == LOCAL_ENDPOINT or endpoint.startswith("file:")


def embedded_root(endpoint: str) -> Path:
    """The directory of an embedded endpoint: that of ``file:///dir``, or one in the user's data folder for ``local``."""
    if endpoint == LOCAL_ENDPOINT:
        import platformdirs

        return Path(platformdirs.user_data_dir("xet", appauthor=False)) / "local"
    return Path(_path_of(endpoint))


def _path_of(url: str) -> str:
    path = unquote(url.removeprefix("file:"))
    return of_file_url(path[2:]) if path.startswith("//") else path


def resolve_credential(
    endpoint: str, *, user: str | None = None, token: str | Secret | TokenFunction | None = None
) -> Credential:
    """The credential for an endpoint; a credential for another endpoint is never used.

    Sources, in this order: arguments, `login`, ``XET_USER_NAME``/``XET_USER_TOKEN``, ``HF_OIDC_RESOURCE``, ``HF_TOKEN``,
    the file that ``xet login`` writes, the Hub's own token file.

    Raises
    ------
    ConfigError
        The token is neither a string nor a function; the file of ``xet login`` cannot be read.
    """
    if isinstance(token, (str, Secret)):
        return Credential(endpoint, user, Secret(token) if token else None)
    again = partial(resolve_credential, endpoint, user=user, token=token)
    if token is not None:
        if not callable(token):
            raise ConfigError(f"token is a {type(token).__name__}; expected a string, or a function that returns one")
        source, remedy = "that the function given as token= returned", "the function was asked again already"
        return Credential(endpoint, user, None, source, remedy, "asked", ("asked", _key(token)), token, again)
    with _login_lock:
        stored = _logins.get(endpoint)
    found = stored or _from_environment(endpoint) or _from_login_file(endpoint) or _from_hub_file(endpoint)
    if found is None:
        return Credential(endpoint, user, origin="found", again=again)
    return replace(found, user=user or found.user, again=again)


def surroundings() -> str:
    """A digest of everything that determines endpoints and credentials: logins, environment variables and files.

    Renewing the token of a login of the Hub's tool does not change it.
    """
    with _login_lock:
        logins = [(end, found.user, found.token.reveal() if found.token else None) for end, found in _logins.items()]
        parts: list[object] = [sorted(logins, key=lambda login: login[0]), _login_host]
    parts += [os.environ.get(name) for name in _VARIABLES]
    parts += [version_of(login_file()), account_in_use() or version_of(token_file())]
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _key(function: TokenFunction) -> Hashable:
    """A key that is equal for equal functions."""
    try:
        hash(function)
    except TypeError:
        # The credential keeps the function alive, so that no other object gets its id.
        return id(function)
    return function


def login_file() -> Path:
    """The file that ``xet login`` writes: JSON ``{origin: {"user": …, "token": …}}``."""
    import platformdirs

    return Path(platformdirs.user_config_dir("xet", appauthor=False)) / "login.json"


def _normal_endpoint(text: str) -> str:
    if text == LOCAL_ENDPOINT:
        return text
    if text.startswith("file:"):
        path = _path_of(text)
        if not is_absolute(path):
            raise ConfigError(f"endpoint {text!r}: expected file:///absolute/directory")
        return file_url(path)
    return endpoint_url(text)


def _endpoint_of(variable: str) -> str | None:
    value = os.environ.get(variable)
    return _normal_endpoint(value) if value else None


def _hub_endpoint() -> str:
    return _endpoint_of("HF_ENDPOINT") or DEFAULT_ENDPOINT


def _token_of(variable: str) -> str:
    return clean(os.environ.get(variable, ""))


def _from_environment(endpoint: str) -> Credential | None:
    def found(variable: str, user: str | None = None) -> Credential:
        remedy = f"put another one into {variable}, or unset it to use the one of xet login"
        return Credential(endpoint, user, Secret(_token_of(variable)), f"of {variable}", remedy, "found")

    if _token_of("XET_USER_TOKEN") and endpoint == (_endpoint_of("XET_ENDPOINT") or _hub_endpoint()):
        return found("XET_USER_TOKEN", os.environ.get("XET_USER_NAME"))
    if endpoint != _hub_endpoint():
        return None
    if resource := os.environ.get("HF_OIDC_RESOURCE"):
        source = f"for {resource} that this job's identity was exchanged for"
        remedy = f"check HF_OIDC_RESOURCE and the trusted publishers of {resource}, or unset it to use another token"
        return Credential(endpoint, None, None, source, remedy, "oidc", ("oidc", resource))
    return next((found(name) for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN") if _token_of(name)), None)


def _saved_logins() -> Mapping[str, object]:
    """The content of the login file; empty if there is no file."""
    path = login_file()
    try:
        logins = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigError(f"the login file {path} cannot be read ({error}); remove it and log in again") from error
    return logins if isinstance(logins, Mapping) else {}


def saved_endpoints() -> list[str]:
    """The endpoints with saved logins; raises `ConfigError` if the login file cannot be read."""
    return list(_saved_logins())


@contextmanager
def _changing_logins() -> Iterator[None]:
    """Hold the lock of the login file, so that no other process or thread changes it between reading and replacing."""
    with ExitStack() as held:
        try:
            held.enter_context(changing(login_file()))
        except OSError as error:
            reason = error.strerror or error
            raise ConfigError(f"the login file {login_file()} cannot be changed ({reason})") from error
        yield


def _save_logins(logins: Mapping[str, object]) -> None:
    """Replace the login file atomically, readable by its owner only; remove it if there are no logins."""
    path = login_file()
    try:
        if logins:
            replace_private(path, json.dumps(logins, indent=2) + "\n")
        else:
            remove(os.path.realpath(path), missing_ok=True)
    except OSError as error:
        raise ConfigError(f"the login file {path} cannot be written ({error.strerror})") from error


def _from_login_file(endpoint: str) -> Credential | None:
    entry = _saved_logins().get(endpoint)
    if not isinstance(entry, Mapping) or not isinstance(entry.get("token"), str):
        return None
    source = f"that xet login saved in {login_file()}"
    return Credential(endpoint, entry.get("user"), Secret(entry["token"]), source, "run xet login again", "found")


def _from_hub_file(endpoint: str) -> Credential | None:
    login = hub_login() if endpoint == _hub_endpoint() else None
    if login is None:
        return None
    source, remedy = f"in {token_file()}", "run hf auth login, or xet login"
    return Credential(endpoint, None, login.token, source, remedy, "hub", login.account)
