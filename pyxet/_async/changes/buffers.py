"""Checks what callers write: the bytes of any contiguous buffer are accepted, nothing else."""

from __future__ import annotations

import re
from typing import Any, Final

_NAMES: Final = re.compile(r":[^:]*:")


def as_bytes(data: Any) -> memoryview:
    """The content of a buffer as a flat view of unsigned bytes; copied only where its format cannot be cast.

    Raises
    ------
    TypeError
        ``data`` is not a buffer (a string, a number, a list, ``None``), is not contiguous, or holds Python objects.
    """
    try:
        view = memoryview(data)
    except (TypeError, ValueError, BufferError) as error:
        hint = "; encode it, or write in text mode" if isinstance(data, str) else ""
        raise TypeError(f"expected bytes or another buffer to write, not {type(data).__name__}{hint}") from error
    if not view.c_contiguous:
        raise TypeError(f"the buffer of this {type(data).__name__} is not contiguous; write a contiguous copy of it")
    # "O" is the format of Python objects; in the name of a record's field it means nothing.
    if "O" in _NAMES.sub("", view.format):
        raise TypeError(f"this {type(data).__name__} holds Python objects, whose bytes are addresses in this process")
    if not view.nbytes:
        return memoryview(b"")
    try:
        return view.cast("B")
    except (TypeError, ValueError):
        # Records, and numbers whose byte order is not the machine's, can be copied but not cast.
        return memoryview(view.tobytes())
