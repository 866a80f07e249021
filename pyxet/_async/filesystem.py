"""`AsyncXetFileSystem`, put together from its parts."""

from __future__ import annotations

from pyxet._async.repositories import Repositories


class AsyncXetFileSystem(Repositories):
    """fsspec's asynchronous file system over the Xet repositories of one endpoint.

    Every method with an underscore is a coroutine; `XetFS` has each of them in a blocking form, too. An instance serves
    any number of event loops and threads, and its limits hold for the whole process.

    Parameters
    ----------
    endpoint:
        ``host``, ``host:port`` or URL; ``local`` or ``file:///dir`` for a local endpoint embedded in this process. If not
        given: the one of `pyxet.login`, ``XET_ENDPOINT``, ``HF_ENDPOINT``, the Hub.
    user, token:
        Who connects. If not given: what `pyxet.login`, ``XET_USER_NAME`` and ``XET_USER_TOKEN``, ``HF_TOKEN``, the file
        of ``xet login`` or the Hub's own token file has for this endpoint.
    listings_expiry_time:
        Seconds for which the commit of a branch is taken to be its newest; 0 looks each time.
    limits, retry, timeouts:
        Bounds of memory and concurrency, how failed requests are tried again, and how long to wait.
    asynchronous:
        Set it to use the coroutines on your own event loop, best with ``async with``.
    loop:
        A running loop for blocking calls, instead of fsspec's.

    Raises
    ------
    XetURLError, ConfigError
        The endpoint or the stored credential makes no sense.
    """
