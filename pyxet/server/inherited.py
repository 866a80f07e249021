"""Closes an endpoint's sockets and pipes to git in forked children.

A peer waits while any process has its socket or pipe open. The child has no thread to answer, and may outlive its parent.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import suppress

from aiohttp import web

from pyxet._platform import after_fork

_runners: set[web.AppRunner] = set()
_pipes: set[io.FileIO] = set()


def close_in_children(owner: web.AppRunner | io.FileIO) -> None:
    """Have forked children close the sockets that a runner listens on, and those of its connections; or an end of a pipe."""
    if isinstance(owner, io.FileIO):
        _pipes.add(owner)
    else:
        _runners.add(owner)


def has_stopped(owner: web.AppRunner | io.FileIO) -> None:
    """Note that forked children have nothing to close for this owner any more."""
    if isinstance(owner, io.FileIO):
        _pipes.discard(owner)
    else:
        _runners.discard(owner)


def sockets(runner: web.AppRunner) -> Iterator[int]:
    """Descriptors of what a runner listens on."""
    for site in runner.sites:
        for listening in getattr(site._server, "sockets", None) or ():
            yield listening.fileno()


def _close_all() -> None:
    if not _runners and not _pipes:
        return
    nowhere = os.open(os.devnull, os.O_RDWR)
    for pipe in _pipes:
        if not pipe.closed:
            os.dup2(nowhere, pipe.fileno(), inheritable=False)
    for runner in list(_runners):
        connections = runner.server.connections if runner.server is not None else ()
        transports = [getattr(connection, "transport", None) for connection in connections]
        found = [transport.get_extra_info("socket") for transport in transports if transport is not None]
        descriptors = [*sockets(runner), *(connection.fileno() for connection in found if connection is not None)]
        for descriptor in descriptors:
            # The number stays taken: the socket objects are still there, and will close whatever it stands for.
            if descriptor >= 0:
                with suppress(OSError):
                    os.dup2(nowhere, descriptor, inheritable=False)
    os.close(nowhere)
    # In a fork of the child the numbers may stand for something else.
    _runners.clear()
    _pipes.clear()


after_fork(_close_all)
