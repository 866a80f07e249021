"""The layers that others put around files that are written, and tell nobody of: text, compression, archives.

Closing the file beneath them would lose what they hold. Wrappers that ``fs.open`` makes are known; ``fsspec.open``, pandas
and callers make their own, so those who refer to a file are looked for.
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
    """A file that is open for writing, as the transaction holds it that it belongs to."""

    def mark_closed(self) -> None:
        """Be closed, with the content thrown away."""

    def settle(self) -> None:
        """The layers above are closed as well."""

    def expect(self, error: BaseException | None) -> None:
        """Take an exception that is being handled for none that interrupts this file."""


class Wrappers:
    """Who wraps which of some files, through any number of layers."""

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
    """Close what wraps some files whose content is thrown away, whatever it says to that: collected, it would say more.

    A layer may look closed because the file beneath it is, and have others around it that are not.
    """
    found: list[Any] = []
    # Both levels are kept: an object that is gone could lend its identity to another.
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
        # One that writes to several files is its maker's business: the others may be fine.
        if not any(_is_another(part, wrapper) for part in _parts(wrapper) if id(part) not in known):
            with suppress(Exception):
                wrapper.close()


def _is_another(part: Any, wrapper: Any) -> bool:
    """Whether a part of a file object is an open file of its own, and no buffer in memory or on the way to the object."""
    if not isinstance(part, (io.IOBase, ZipFile)) or isinstance(part, (io.BytesIO, io.StringIO)):
        return False
    back = [*_parts(part), *_parts(_stream_beneath(part))]
    return not getattr(part, "closed", False) and not any(inner is wrapper for inner in back)


def _referring(files: list[Any]) -> list[Any]:
    """File objects that refer to some of these, through an attribute or as C code does."""
    found = gc.get_referrers(*files)
    # Each look walks over all objects there are.
    dicts = [item for item in found if type(item) is dict]
    owners = gc.get_referrers(*dicts) if dicts else []
    candidates = {id(item): item for item in (*found, *owners) if isinstance(item, (io.IOBase, ZipFile))}
    return list(candidates.values())


def _wraps(wrapper: Any, file: Any) -> bool:
    # What a file keeps for itself refers back to it, too.
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
