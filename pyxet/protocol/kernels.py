"""The choice between the C kernels and their numpy twins, made once at import."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from functools import cache
from types import ModuleType
from typing import Final, Literal, TypeAlias

from pyxet.protocol.hashing import Buffer

Kernel = Literal["c", "numpy"]
# Consecutive chunks in the form of a xorb, and the end of each of them. They are in the given memory, if that is large
# enough.
Encoded: TypeAlias = tuple[bytes | bytearray, list[int]]
Encode: TypeAlias = Callable[[Sequence[Buffer], bytearray | None], Encoded]
# From this many bytes on, copying takes longer than getting the interpreter's lock back, so it is done without the lock.
_MANY: Final = 256 * 1024
# The result of decoding a piece: its chunks as (offset in the memory, decoded size, stored size), the offsets in the piece and
# in the memory where it stopped, and how many more bytes of memory the next chunk needs (0 if it did not stop for memory).
Decoded: TypeAlias = tuple[list[tuple[int, int, int]], int, int, int]
# Takes a piece, the offset to begin at, memory and the offset in it, the most chunks, and the most bytes to decode.
Decode: TypeAlias = Callable[[Buffer, int, Buffer, int, int, int], Decoded]
# Functions of liblz4, in the order of the kernel's parameters.
_FUNCTIONS: Final = ("LZ4_createStream", "LZ4_resetStream", "LZ4_compress_fast_continue", "LZ4_freeStream")


def load(kernel: Kernel) -> ModuleType:
    """The module of a kernel. Raises `ImportError` if the C kernel was not built."""
    return importlib.import_module("pyxet.protocol._gear" if kernel == "c" else "pyxet.protocol._gear_numpy")


def _choose() -> Kernel:
    try:
        load("c")
    except ImportError:
        return "numpy"
    return "c"


# "c" or "numpy": the kernel of this process, as bug reports need to know it.
name: Final[Kernel] = _choose()


@cache
def encode_kernel() -> Encode | None:
    """The C kernel that compresses and frames a whole run without the interpreter's lock.

    ``None`` if it was not built, or if the `lz4` package does not export the functions of its library, as on Windows.
    """
    functions = _addresses(_FUNCTIONS)
    encode = getattr(load(name), "encode", None)
    return _bound(encode, functions) if encode and functions else None


@cache
def decode_kernel() -> Decode | None:
    """The C kernel that decodes the chunks of a whole piece without the interpreter's lock; ``None`` like `encode_kernel`."""
    functions = _addresses(("LZ4_decompress_safe",))
    # A kernel of an earlier build has no such function.
    decode = getattr(load(name), "decode", None)
    return _bound_to_one(decode, functions[0]) if decode and functions else None


def _addresses(functions: Sequence[str]) -> tuple[int | None, ...]:
    """The addresses of functions of liblz4; empty if they cannot be found."""
    # Imported here because they are only needed to move content.
    import ctypes

    import lz4.block

    try:
        # The extension and the libraries that it is linked with are loaded already, so this only looks up names.
        library = ctypes.CDLL(lz4.block._block.__file__)
        return tuple(ctypes.cast(getattr(library, function), ctypes.c_void_p).value for function in functions)
    except (AttributeError, OSError):
        return ()


def _bound_to_one(decode: Callable[..., Decoded], function: int | None) -> Decode:
    return lambda data, at, memory, used, most, budget: decode(data, at, memory, used, most, budget, function)


def _bound(encode: Callable[..., Encoded], functions: tuple[int | None, ...]) -> Encode:
    return lambda pieces, room: encode(pieces, functions, room)


def joined(parts: Sequence[Buffer]) -> bytes:
    """Join buffers. Large ones are copied without the interpreter's lock, so that the event loop runs meanwhile."""
    if len(parts) < 2 or sum(map(len, parts)) < _MANY:
        return b"".join(parts)
    found: bytes = load(name).gather(parts)
    return found


def fill(target: bytearray | memoryview, parts: Sequence[Buffer]) -> int:
    """Copy buffers into memory, like `joined`, and return the number of bytes. Raises `ValueError` if they do not fit."""
    # A kernel of an earlier build has no such function.
    found: int = (getattr(load(name), "fill", None) or load("numpy").fill)(target, parts)
    return found


def unwritten(size: int) -> bytearray:
    """Memory that is not initialized, so that its pages are not touched; zeros if there is no C kernel."""
    found: bytearray = getattr(load(name), "room", bytearray)(size)
    return found
