"""What may be written: any contiguous buffer stands for its bytes, and nothing else does."""

from __future__ import annotations

import re
from typing import Any, Final

_NAMES: Final = re.compile(r":[^:]*:")


def as_bytes(data: Any) -> memoryview:
    """The bytes of a buffer, as one dimension of unsigned bytes; without a copy where its format allows it.

    Raises
    ------
    TypeError
        It is no buffer, such as a string, a number, a list or ``None``; or one that is not contiguous.
    """
    try:
        view = memoryview(data)
    except (TypeError, ValueError, BufferError) as error:
        hint = "; encode it, or write in text mode" if isinstance(data, str) else ""
        raise TypeError(f"expected bytes or another buffer to write, not {type(data).__name__}{hint}") from error
    if not view.c_contiguous:
        raise TypeError(f"the buffer of this {type(data).__name__} is not contiguous; write a contiguous copy of it")
    # The names of a record's fields may have any letter.
    if "O" in _NAMES.sub("", view.format):
        raise TypeError(f"this {type(data).__name__} holds Python objects, whose bytes are addresses in this process")
    if not view.nbytes:
        return memoryview(b"")
    try:
        return view.cast("B")
    except (TypeError, ValueError):
        # Numbers in another byte order than the machine's, and records: they can be copied, but not cast.
        return memoryview(view.tobytes())
