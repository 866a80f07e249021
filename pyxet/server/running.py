"""A local endpoint that runs in a thread of this process, on an event loop of its own."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import tempfile
import threading
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import web

from pyxet.errors import ConfigError
from pyxet.server.app import create_app
from pyxet.server.state import TOKENS
from pyxet.server.tokens import Account, Scope


class LocalEndpoint:
    """A running local endpoint; ``with`` and ``async with`` close it.

    Parameters
    ----------
    root:
        Directory of the repositories; a temporary one, removed at the end, if ``None``.
    user, token:
        The account that may do everything; a random token if ``None``.
    host, port:
        Where to listen; port 0 takes a free one.

    Attributes
    ----------
    url, user, token, root:
        What clients need to know.

    Raises
    ------
    ConfigError
        The directory or the port cannot be used.
    """

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        user: str = "test",
        token: str | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self._scratch = Path(tempfile.mkdtemp(prefix="xet-endpoint-")) if root is None else None
        self.root = self._scratch or Path(root or "").absolute()
        self.user = user
        self.token = token or f"xet_{secrets.token_hex(16)}"
        self._address = (host, port)
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._started: Future[tuple[web.Application, str]] = Future()
        self._thread = threading.Thread(target=self._run, name="xet-endpoint", daemon=True)
        self._thread.start()
        try:
            self._app, self.url = self._started.result()
        except BaseException:
            self._thread.join()
            self._remove_scratch()
            raise

    def add_token(self, user: str, scope: Scope = "write", expires: float | None = None) -> str:
        """A token for another account; ``expires`` in Unix seconds."""
        token = f"xet_{secrets.token_hex(16)}"
        self._app[TOKENS].add_account(token, Account(user, scope, expires))
        return token

    def close(self) -> None:
        """Stop: requests that run have a moment to end. Closing twice is fine."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()
        self._remove_scratch()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.close)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        try:
            runner = await start(self.root, user=self.user, token=self.token, address=self._address)
        except BaseException as error:  # noqa: BLE001  # it is raised in the thread that waits for the start
            self._started.set_exception(error)
            return
        host, port = runner.addresses[0][:2]
        assert runner.app is not None
        self._started.set_result((runner.app, f"http://{host}:{port}"))
        try:
            await self._stop.wait()
        finally:
            await runner.cleanup()

    def _remove_scratch(self) -> None:
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)


async def start(root: Path, *, user: str, token: str, address: tuple[str, int]) -> web.AppRunner:
    """Start serving on the running loop; the runner's ``cleanup`` ends it. Raises `ConfigError`."""
    app = create_app(root, user=user, token=token)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=2.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, *address).start()
    except OSError as error:
        await runner.cleanup()
        raise ConfigError(f"cannot listen on {address[0]}:{address[1]}: {error.strerror or error}") from error
    return runner
