"""A local endpoint that runs in a thread of this process, on an event loop of its own."""

from __future__ import annotations

import asyncio
import os
import secrets
import ssl
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import web, web_app

from pyxet._platform_files import remove_tree
from pyxet.errors import ConfigError
from pyxet.secrets import Secret
from pyxet.server.app import create_app
from pyxet.server.behaviour import HubBehaviour
from pyxet.server.connections import CONNECTIONS, IDLE_SECONDS, LOG, GuardedSite
from pyxet.server.git_store import REPOSITORIES, stored_repos
from pyxet.server.holding import Holder, publish, published
from pyxet.server.hosts import Hosts, is_loopback
from pyxet.server.inherited import close_in_children, has_stopped, sockets
from pyxet.server.people import PeopleFile, Scope
from pyxet.server.privacy import make_root, own_umask
from pyxet.server.state import TOKENS
from pyxet.server.tokens import Account
from pyxet.types import KINDS


class LocalEndpoint:
    """A local endpoint, running between entry and exit of ``with`` or ``async with``.

    It also starts when its URL is read outside a ``with`` block; then call `close` to end it.

    Parameters
    ----------
    root:
        Directory of the repositories; a temporary one, removed at the end, if ``None``.
    user, token:
        The account that may do everything; a random token if ``None``.
    anonymous:
        Whether clients without a token can read the public repositories; otherwise only signed URLs work for them.
    host, port:
        Where to listen; port 0 takes a free one.
    public_url, allowed_hosts:
        Where clients reach it, and the names that it answers to beside loopback ones: see `Hosts`.
    tls:
        Files (PEM) of a certificate, with those that it is signed by, and of its key: connections are encrypted.
    insecure:
        Whether it may listen where other machines reach it without ``tls``.
    like_hub:
        Quotas, limits and delays such as the Hub has: ``True`` for the Hub's own figures.
    grants:
        Whether xorbs are taken by upload grants, as on the Hub; otherwise clients send them directly.

    Attributes
    ----------
    url, user, token, root:
        What clients need to know.

    Raises
    ------
    ConfigError
        The public URL or a host is not valid. At the start: the directory, the user's name, the certificate or the port cannot
        be used, or the address needs ``tls``.
    """

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        user: str = "test",
        token: str | None = None,
        *,
        anonymous: bool = True,
        host: str = "127.0.0.1",
        port: int = 0,
        public_url: str | None = None,
        allowed_hosts: Iterable[str] = (),
        tls: tuple[str, str] | None = None,
        insecure: bool = False,
        like_hub: bool | HubBehaviour = False,
        grants: bool = True,
    ) -> None:
        self.user = user
        self.token = token or f"xet_{secrets.token_hex(16)}"
        self._given_root = root
        self._anonymous = anonymous
        self._address = (host, port)
        self._hosts = Hosts(public_url, allowed_hosts, host)
        self._tls, self._insecure = tls, insecure
        self._like_hub = (HubBehaviour() if like_hub else None) if isinstance(like_hub, bool) else like_hub
        self._grants = grants
        self._guard = threading.Lock()
        self._running: _Running | None = None
        self._closed = False

    @property
    def url(self) -> str:
        """Where it listens, without a trailing slash."""
        return self.start().url

    @property
    def root(self) -> Path:
        """Directory of the repositories and the store."""
        return self.start().root

    def start(self) -> _Running:
        """Start unless it runs already. Blocks for a moment."""
        with self._guard:
            if self._closed:
                raise RuntimeError("this local endpoint has ended")
            if self._running is None:
                serve = partial(
                    start,
                    user=self.user,
                    token=self.token,
                    address=self._address,
                    anonymous=self._anonymous,
                    hosts=self._hosts,
                    like_hub=self._like_hub,
                    upload_grants=self._grants,
                    tls=self._tls,
                    insecure=self._insecure,
                )
                self._running = _Running(self._given_root, serve)
            return self._running

    def add_token(self, user: str, scope: Scope = "write", expires: float | None = None) -> str:
        """A token for another account; ``expires`` in Unix seconds."""
        token = f"xet_{secrets.token_hex(16)}"
        self.start().app[TOKENS].add_account(token, Account(user, scope, expires))
        return token

    def close(self) -> None:
        """Stop: requests that run have a moment to end. Closing twice is fine. Does nothing in a fork of the serving process."""
        if self._running is not None and self._running.owner != os.getpid():
            # The parent still serves the directory, which may be a temporary one; and one of its threads may hold the lock.
            return
        with self._guard:
            self._closed = True
            if self._running is not None:
                self._running.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.start)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.close)

    def __repr__(self) -> str:
        where = self._running.url if self._running else "not started"
        return f"<LocalEndpoint {where} user={self.user!r}>"


class _Running:
    """The thread with its event loop, from start to end."""

    def __init__(
        self, root: str | os.PathLike[str] | None, serve: Callable[[Path], Awaitable[web.AppRunner]]
    ) -> None:  # fmt: skip
        self.owner = os.getpid()
        self._scratch = Path(tempfile.mkdtemp(prefix="xet-endpoint-")) if root is None else None
        self.root = self._scratch or Path(root or "").absolute()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._started: Future[tuple[web.Application, str]] = Future()
        self._thread = threading.Thread(target=self._run, args=(serve,), name="xet-endpoint", daemon=True)
        self._thread.start()
        try:
            self.app, self.url = self._started.result()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self._thread.is_alive():
            # The loop may have ended in between, where the start failed.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()
        if self._scratch is not None:
            remove_tree(self._scratch, ignore_errors=True)

    def _run(self, serve: Callable[[Path], Awaitable[web.AppRunner]]) -> None:
        try:
            self._run_loop(serve)
        except BaseException as error:
            self._loop.close()
            if self._started.done():
                raise
            # For instance if no thread can be started. Without this the caller would wait for ever.
            self._started.set_exception(error)

    def _run_loop(self, serve: Callable[[Path], Awaitable[web.AppRunner]]) -> None:
        # Not `asyncio.Runner`: it ends the loop's executor from another thread, and while the interpreter ends, which is
        # when an embedded endpoint is closed, no thread can be started any more.
        with ThreadPoolExecutor(thread_name_prefix="xet-endpoint") as pool, closing(self._loop):
            self._loop.set_default_executor(pool)
            try:
                self._loop.run_until_complete(self._serve(serve))
            finally:
                self._loop.run_until_complete(_cancel_others())
                self._loop.run_until_complete(self._loop.shutdown_asyncgens())

    async def _serve(self, serve: Callable[[Path], Awaitable[web.AppRunner]]) -> None:
        try:
            runner = await serve(self.root)
        except BaseException as error:  # noqa: BLE001  # it is raised in the thread that waits for the start
            self._started.set_exception(error)
            return
        assert runner.app is not None
        self._started.set_result((runner.app, origin(runner)))
        try:
            await self._stop.wait()
        finally:
            await stop(runner)


async def _cancel_others() -> None:
    """Cancel the tasks that are left on the loop, and wait for them."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def origin(runner: web.AppRunner) -> str:
    """The URL at which a runner listens, seen from this machine."""
    host, port = runner.addresses[0][:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    [site] = runner.sites
    assert isinstance(site, GuardedSite)
    return f"{site.scheme}://[{host}]:{port}" if ":" in host else f"{site.scheme}://{host}:{port}"


def _tls(certificate: str, key: str) -> ssl.SSLContext:
    """How connections are encrypted. Raises `ConfigError`."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        # No user can be asked for the password of a key.
        context.load_cert_chain(certificate, key, password=lambda: "")
    except ssl.SSLError as error:
        reason = f"{certificate} and {key} are not a certificate and its key, in PEM and without a password"
        raise ConfigError(f"{reason} ({error.reason or error})") from error
    except OSError as error:
        raise ConfigError(f"the certificate or its key cannot be read: {error}") from error
    context.set_alpn_protocols(["http/1.1"])
    return context


async def start(
    root: Path,
    *,
    user: str,
    token: str,
    address: tuple[str, int],
    anonymous: bool = True,
    hosts: Hosts | None = None,
    like_hub: HubBehaviour | None = None,
    upload_grants: bool = True,
    tls: tuple[str, str] | None = None,
    insecure: bool = False,
) -> web.AppRunner:
    """Start serving on the running loop, until `stop`. Raises `ConfigError`."""
    if tls is None and not insecure and not is_loopback(address[0]):
        raise ConfigError(
            f"other machines reach {address[0] or 'all addresses'}, and tokens would be sent for all to read; give --tls-cert and "
            "--tls-key, listen on 127.0.0.1 behind a proxy that ends TLS, or say --insecure"
        )
    encrypted = await asyncio.to_thread(_tls, *tls) if tls is not None else None
    create = partial(
        create_app,
        root,
        user=user,
        token=token,
        anonymous=anonymous,
        hosts=hosts,
        like_hub=like_hub,
        upload_grants=upload_grants,
    )
    # A thread of its own, so that its umask does not affect other threads.
    starting = ThreadPoolExecutor(1, thread_name_prefix="xet-endpoint", initializer=own_umask)
    try:
        app = await asyncio.get_running_loop().run_in_executor(starting, create)
    finally:
        starting.shutdown(wait=False)
    runner = web.AppRunner(app, access_log=None, logger=LOG, shutdown_timeout=2.0, keepalive_timeout=IDLE_SECONDS)
    await runner.setup()
    try:
        await GuardedSite(runner, app[CONNECTIONS], *address, encrypted).start()
    except OSError as error:
        await runner.cleanup()
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)
        raise ConfigError(f"cannot listen on {address[0]}:{address[1]}: {reason}") from error
    close_in_children(runner)
    # The holder is made in the thread as well: it reads which loopback this is.
    await asyncio.to_thread(_publish, root, origin(runner), user, token)
    return runner


def _publish(root: Path, url: str, user: str, token: str) -> None:
    publish(Holder(root, url, user, Secret(token)))


def people_of(root: Path) -> PeopleFile:
    """The users, organizations and tokens of an endpoint's directory, which is made if it is not there.

    Raises
    ------
    ConfigError
        It is no directory or cannot be used, or a newer pyxet wrote the file.
    """
    try:
        make_root(root)
    except OSError as error:
        raise ConfigError(f"the directory {root} cannot be used: {error.strerror or error}") from error
    return PeopleFile(root)


def brought_by_name(root: Path, name: str) -> list[str]:
    """What a new user or organization gets because of its name in an endpoint's directory, as lines for people to read."""
    lines = []
    repos = [repo.path for kind in KINDS for repo in stored_repos(root / REPOSITORIES, kind, name)]
    if repos:
        some = ", ".join(repos[:3]) + (", …" if len(repos) > 3 else "")
        lines.append(f"{name} owns what is there under that name ({len(repos)}): {some}")
    holder = published(root)
    if holder is not None and holder.user == name:
        lines.append(f"{name} runs the endpoint {holder.url}, so whoever is {name} may do everything there")
    return lines


async def stop(runner: web.AppRunner) -> None:
    """End what `start` began: requests that run have a moment to finish, idle connections are closed."""
    loop = asyncio.get_running_loop()
    # A connection that is accepted in the round in which asyncio's server closes is refused by it and left open. So first
    # stop accepting, and wait some rounds until the server knows the connections that were just accepted.
    for listening in sockets(runner):
        # Loops without readers, as of Windows, accept in another way.
        with suppress(NotImplementedError):
            loop.remove_reader(listening)
    for _ in range(5):
        await asyncio.sleep(0)
    for site in list(runner.sites):
        await site.stop()
    await runner.cleanup()
    has_stopped(runner)
    _forget()


def _forget() -> None:
    """Have aiohttp let go of applications that have ended.

    It keeps the way through their middlewares for the last thousand handlers, and with it each application, what it
    remembers of its store, and its threads' pools. Those of others are made again by their next request.
    """
    kept = getattr(web_app, "_cached_build_middleware", None)
    if kept is not None:
        kept.cache_clear()
