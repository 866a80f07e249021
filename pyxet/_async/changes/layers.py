"""Finds the wrappers (text, compression, archives) that callers and libraries put around files that are being written.

A wrapper may hold content that it has not written to the file yet; closing the file first would lose it. Wrappers that
``fs.open`` makes are known. ``fsspec.open``, pandas and callers make others, which are found as the objects that refer to
the file.
"""

from __future__ import annotations

import gc
import io
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Protocol
from zipfile import ZipFile


class Closable(Protocol):
    """A file that is open for writing, or the wrapper around it."""

    def close(self) -> object: ...


class Held(Closable, Protocol):
    """A file that is open for writing, as its transaction sees it."""

    def mark_closed(self) -> None:
        """Close the file and discard its content."""

    def settle(self) -> None:
        """Called after `mark_closed`, once the wrappers around the file are closed as well."""

    def expect(self, error: BaseException | None) -> None:
        """Do not treat this exception, which the caller is handling, as one that interrupts the file."""


class Wrappers:
    """Finds the objects that wrap these files, through any number of layers."""

    def __init__(self, files: list[Closable]) -> None:
        self._outer: dict[int, Any] = {}
        level: list[Any] = list(files)
        while level:
            found: list[Any] = []
            for wrapper in _referring(level):
                if getattr(wrapper, "closed", False):
                    continue
                for file in level:
                    if id(file) not in self._outer and _wraps(wrapper, file):
                        self._outer[id(file)] = wrapper
                        found.append(wrapper)
            level = found

    def around(self, file: Closable) -> list[Closable]:
        """A file and the wrappers around it, outermost first."""
        layers: list[Any] = [file]
        while (outer := self._outer.get(id(layers[0]))) is not None and not any(outer is layer for layer in layers):
            layers.insert(0, outer)
        return layers


def close_layers(files: Sequence[Closable]) -> None:
    """Close the wrappers around files whose content is discarded, and ignore their errors.

    If they were left open, they would raise or warn when they are collected. A wrapper that looks closed, because the file
    beneath it is, is closed too: there may be open wrappers around it.
    """
    found: list[Any] = []
    # Every object found stays referenced: the id of a collected one could be that of a new object.
    known: dict[int, Any] = {id(file): file for file in files}
    level: list[Any] = list(files)
    while level:
        level = [
            wrapper
            for wrapper in _referring(level)
            if id(wrapper) not in known and any(_wraps(wrapper, file) for file in level)
        ]
        known.update((id(wrapper), wrapper) for wrapper in level)
        found += level
    for wrapper in reversed(found):
        # A wrapper that also writes to other files stays open, as those may be fine.
        if not any(_is_another(part, wrapper) for part in _parts(wrapper) if id(part) not in known):
            with suppress(Exception):
                wrapper.close()


def _is_another(part: Any, wrapper: Any) -> bool:
    """Whether a part of a wrapper is another open file: neither a buffer in memory nor a layer that refers to the wrapper."""
    if not isinstance(part, (io.IOBase, ZipFile)) or isinstance(part, (io.BytesIO, io.StringIO)):
        return False
    back = [*_parts(part), *_parts(_stream_beneath(part))]
    return not getattr(part, "closed", False) and not any(inner is wrapper for inner in back)


def _referring(files: list[Any]) -> list[Any]:
    """File objects that refer to any of these, through an attribute or, like objects written in C, directly."""
    found = gc.get_referrers(*files)
    # `gc.get_referrers` walks over all objects of the process, so it is called as rarely as possible.
    dicts = [item for item in found if type(item) is dict]
    owners = gc.get_referrers(*dicts) if dicts else []
    candidates = {id(item): item for item in (*found, *owners) if isinstance(item, (io.IOBase, ZipFile))}
    return list(candidates.values())


def _wraps(wrapper: Any, file: Any) -> bool:
    # A part of the file that refers back to it is no wrapper around it.
    own = wrapper is file or any(part is wrapper for part in _parts(file))
    return not own and any(part is file for part in _parts(wrapper))


def _parts(file: Any) -> list[Any]:
    """What a file object holds directly, and the streams beneath its own buffers."""
    parts = list(getattr(file, "__dict__", {}).values())
    parts += [_stream_beneath(part) for part in (file, *parts) if isinstance(part, io.IOBase)]
    return parts


def _stream_beneath(file: Any) -> Any:
    try:
        return file.buffer if isinstance(file, io.TextIOWrapper) else getattr(file, "raw", None)
    except ValueError:
        # It was detached.
        return None
