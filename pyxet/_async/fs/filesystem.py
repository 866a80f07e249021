"""`AsyncXetFileSystem`, put together from its parts."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NoReturn

from fsspec.spec import AbstractFileSystem

from pyxet._async.fs.copying import Copying
from pyxet._async.fs.editing import Editing
from pyxet._async.fs.history import History
from pyxet._async.fs.listing import Listing
from pyxet._async.fs.opening import Opening
from pyxet._async.fs.proposing import Proposing
from pyxet._async.fs.reading import Reading
from pyxet._async.fs.repositories import Repositories
from pyxet._async.fs.scanning import Scanning
from pyxet._async.fs.searching import Searching
from pyxet._async.fs.snapshots import Snapshots
from pyxet._async.fs.staging import Staging
from pyxet._async.fs.transacting import Transacting
from pyxet.errors import NotSupportedError
from pyxet.options import public


class AsyncXetFileSystem(
    Transacting,
    Listing,
    Searching,
    Scanning,
    Reading,
    Snapshots,
    Opening,
    Editing,
    Copying,
    Staging,
    Repositories,
    History,
    Proposing,
):
    """fsspec's asynchronous file system over the Xet repositories of one endpoint.

    Every method with an underscore is a coroutine; `XetFS` has a blocking form of each. An instance can be used from any
    number of event loops and threads, and its limits hold for the whole process.

    Parameters
    ----------
    endpoint:
        ``host``, ``host:port`` or URL; ``local`` or ``file:///dir`` for a local endpoint embedded in this process. If
        not given, the first of: `pyxet.login`, ``XET_ENDPOINT``, ``HF_ENDPOINT``, the Hub.
    user, token:
        The account. The token may be a function or coroutine function that returns it, which is called when a token is
        needed and again when that token is refused. If not given, the first that applies to this endpoint of: `pyxet.login`,
        ``XET_USER_NAME`` and ``XET_USER_TOKEN``, ``HF_OIDC_RESOURCE``, ``HF_TOKEN``, the file of ``xet login``, the Hub's
        token file; looked up again when the token is refused.
    listings_expiry_time:
        Seconds for which the commit that a branch is at is cached; with 0, each call requests it.
    use_listings_cache:
        If off, the same as ``listings_expiry_time=0``.
    block_size, cache_type, cache_options:
        Defaults for opening files for reading, see `XetFS.open`.
    limits, retry, timeouts:
        Bounds of memory and concurrency, how failed requests are retried, and how long to wait. Mappings, as JSON and YAML
        have them, are accepted as well.
    asynchronous:
        Set it to use the coroutines on your own event loop, best with ``async with``.
    loop:
        A running loop for blocking calls, instead of fsspec's.
    storage_options:
        Options that fsspec has for all file systems, such as ``skip_instance_cache``.

    Raises
    ------
    TypeError
        An option is unknown; the message names it and the most similar known one.
    XetURLError, ConfigError
        The endpoint or the stored credential is invalid.
    """


def _only_awaited(name: str, coroutine: str) -> Callable[..., NoReturn]:
    def call(self: object, *args: object, **kwargs: object) -> NoReturn:
        raise NotSupportedError(f"{name} blocks; await {coroutine} of this file system, or use pyxet.XetFS")

    return call


def _refuse_inherited() -> None:
    """Let blocking methods inherited from fsspec raise: they call others that do not work here; ``exists`` would be false."""
    for name in dir(AbstractFileSystem):
        coroutine = "open_async" if name == "open" else f"_{name}"
        method = inspect.unwrap(getattr(AsyncXetFileSystem, coroutine, lambda: None))
        awaited = name == "open" or inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method)
        if awaited and getattr(AsyncXetFileSystem, name) is getattr(AbstractFileSystem, name):
            _set(name, _only_awaited(name, coroutine))


def _check_inherited() -> None:
    """Let methods inherited from fsspec refuse unknown options, as the methods of this package do."""
    for name, method in inspect.getmembers(AbstractFileSystem, inspect.isfunction):
        # Static methods make file systems; the constructor checks their options.
        is_static = isinstance(inspect.getattr_static(AbstractFileSystem, name), staticmethod)
        if not name.startswith("_") and not is_static and getattr(AsyncXetFileSystem, name) is method:
            _set(name, public()(method))


def _set(name: str, method: Callable[..., Any]) -> None:
    """Set a function as a method, with the names by which pickle finds it."""
    method.__module__, method.__qualname__ = __name__, f"{AsyncXetFileSystem.__qualname__}.{name}"
    method.__name__ = name
    setattr(AsyncXetFileSystem, name, method)


_refuse_inherited()
_check_inherited()
