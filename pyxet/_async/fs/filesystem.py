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

    Every method with an underscore is a coroutine; `XetFS` has each of them in a blocking form, too. An instance serves
    any number of event loops and threads, and its limits hold for the whole process.

    Parameters
    ----------
    endpoint:
        ``host``, ``host:port`` or URL; ``local`` or ``file:///dir`` for a local endpoint embedded in this process. If not
        given: the one of `pyxet.login`, ``XET_ENDPOINT``, ``HF_ENDPOINT``, the Hub.
    user, token:
        Who connects. The token may be a function, also one to be awaited, that returns it: it is asked when there is need
        of a token, and again when that is refused. If not given: what `pyxet.login`, ``XET_USER_NAME`` and
        ``XET_USER_TOKEN``, ``HF_OIDC_RESOURCE``, ``HF_TOKEN``, the file of ``xet login`` or the Hub's own token file has
        for this endpoint, now or when it is refused.
    listings_expiry_time:
        Seconds for which the commit of a branch is taken to be its newest; 0 looks each time.
    use_listings_cache:
        If off, the same as ``listings_expiry_time=0``.
    block_size, cache_type, cache_options:
        For files that are opened for reading without them, see `XetFS.open`.
    limits, retry, timeouts:
        Bounds of memory and concurrency, how failed requests are tried again, and how long to wait; mappings, as JSON and
        YAML have them, will do.
    asynchronous:
        Set it to use the coroutines on your own event loop, best with ``async with``.
    loop:
        A running loop for blocking calls, instead of fsspec's.
    storage_options:
        What fsspec knows for all file systems, such as ``skip_instance_cache``.

    Raises
    ------
    TypeError
        An option is unknown: it is named together with the nearest right one.
    XetURLError, ConfigError
        The endpoint or the stored credential makes no sense.
    """


def _only_awaited(name: str, coroutine: str) -> Callable[..., NoReturn]:
    def call(self: object, *args: object, **kwargs: object) -> NoReturn:
        raise NotSupportedError(f"{name} blocks; await {coroutine} of this file system, or use pyxet.XetFS")

    return call


def _refuse_inherited() -> None:
    """Blocking methods that fsspec makes from other blocking methods find none here: their ``exists`` would be false."""
    for name in dir(AbstractFileSystem):
        coroutine = "open_async" if name == "open" else f"_{name}"
        method = inspect.unwrap(getattr(AsyncXetFileSystem, coroutine, lambda: None))
        awaited = name == "open" or inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method)
        if awaited and getattr(AsyncXetFileSystem, name) is getattr(AbstractFileSystem, name):
            _set(name, _only_awaited(name, coroutine))


def _check_inherited() -> None:
    """What fsspec makes of other methods and passes no options on refuses unknown ones as ours do."""
    for name, method in inspect.getmembers(AbstractFileSystem, inspect.isfunction):
        # Static ones make file systems, whose constructor looks at the options.
        is_static = isinstance(inspect.getattr_static(AbstractFileSystem, name), staticmethod)
        if not name.startswith("_") and not is_static and getattr(AsyncXetFileSystem, name) is method:
            _set(name, public()(method))


def _set(name: str, method: Callable[..., Any]) -> None:
    """Make a function a method, under the name by which pickles find it."""
    method.__module__, method.__qualname__ = __name__, f"{AsyncXetFileSystem.__qualname__}.{name}"
    method.__name__ = name
    setattr(AsyncXetFileSystem, name, method)


_refuse_inherited()
_check_inherited()
