"""The safetensors format: the header of a file, the byte range that an index selects, and arrays made of it. No I/O."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from types import EllipsisType
from typing import Any, Final, Literal, SupportsIndex, TypeAlias

import msgspec

from pyxet.errors import ConfigError, FormatError, NotSupportedError

Framework: TypeAlias = Literal["numpy", "torch"]
# Selects a part of a tensor: a number or a range for each of the first axes, or ``...``.
Axis: TypeAlias = SupportsIndex | slice | EllipsisType
Index: TypeAlias = Axis | tuple[Axis, ...]

# Longest header, in bytes: a model with a hundred thousand tensors has one of half this length.
_MAX_HEADER: Final = 32 * 1024 * 1024
# Bytes of the first read: most headers fit in it, and a smaller read would save little, as chunks are about this long.
FIRST: Final = 64 * 1024
# Bytes of the field in front of the header that has its length.
LENGTH: Final = 8
_MAX_AXES: Final = 64
# Largest array that numpy and torch can make.
_MOST_BYTES: Final = 2**63 - 1
_METADATA: Final = "__metadata__"
# For each type: bits of a value, and its names in numpy and torch; numpy has some types from the package ml_dtypes.
_TYPES: Final[dict[str, tuple[int, str | None, str | None]]] = {
    "BOOL": (8, "bool", "bool"),
    "U8": (8, "uint8", "uint8"),
    "I8": (8, "int8", "int8"),
    "F8_E5M2": (8, "ml_dtypes:float8_e5m2", "float8_e5m2"),
    "F8_E4M3": (8, "ml_dtypes:float8_e4m3fn", "float8_e4m3fn"),
    "F8_E8M0": (8, "ml_dtypes:float8_e8m0fnu", "float8_e8m0fnu"),
    "U16": (16, "<u2", "uint16"),
    "I16": (16, "<i2", "int16"),
    "F16": (16, "<f2", "float16"),
    "BF16": (16, "ml_dtypes:bfloat16", "bfloat16"),
    "U32": (32, "<u4", "uint32"),
    "I32": (32, "<i4", "int32"),
    "F32": (32, "<f4", "float32"),
    "C64": (64, "<c8", "complex64"),
    "U64": (64, "<u8", "uint64"),
    "I64": (64, "<i8", "int64"),
    "F64": (64, "<f8", "float64"),
    # Values that are not whole bytes: headers may have these types, but no arrays can be made of them.
    "F4": (4, None, None),
    "F6_E2M3": (6, None, None),
    "F6_E3M2": (6, None, None),
}


class _Entry(msgspec.Struct, frozen=True):
    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """A tensor as the header of a file describes it.

    Attributes
    ----------
    name:
        Its name.
    dtype:
        Type of its values, as the format names it: ``F32``, ``BF16``, ``I64``, …
    shape:
        Length of each axis.
    start, end:
        Range of its values in the file, in bytes.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int

    @property
    def size(self) -> int:
        """Size of its values in bytes."""
        return self.end - self.start


class Header:
    """The checked header of a file: each tensor has the size of its shape, and together they fill the file without gaps."""

    def __init__(self, name: str, data: bytes, file_size: int) -> None:
        self.metadata: dict[str, str] = {}
        self.tensors: dict[str, TensorInfo] = {}
        begin = LENGTH + len(data)
        try:
            found = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
            if _METADATA in found:
                self.metadata = msgspec.json.decode(found.pop(_METADATA), type=dict[str, str])
            for key, raw in found.items():
                entry = msgspec.json.decode(raw, type=_Entry)
                first, last = entry.data_offsets
                self.tensors[key] = TensorInfo(key, entry.dtype, tuple(entry.shape), begin + first, begin + last)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _damaged(name, f"its header is not that of a safetensors file ({error})") from None
        at = begin
        for tensor in sorted(self.tensors.values(), key=lambda tensor: (tensor.start, tensor.end)):
            if tensor.dtype not in _TYPES:
                raise _damaged(name, f"{_short(tensor.name)} is of the unknown type {_short(tensor.dtype)}")
            width = _TYPES[tensor.dtype][0]
            # Axes of length 0 are left out of the product, so that the length of the others is checked as well.
            if (
                len(tensor.shape) > _MAX_AXES
                or any(length < 0 for length in tensor.shape)
                or math.prod(length or 1 for length in tensor.shape) * width > 8 * _MOST_BYTES
            ):
                raise _damaged(name, f"{_short(tensor.name)} has an invalid shape")
            bits = math.prod(tensor.shape) * width
            if tensor.start != at or tensor.end < at or bits != 8 * tensor.size:
                raise _damaged(
                    name,
                    f"the bytes of {_short(tensor.name)} do not start where the last tensor ends, or do not match its shape",
                )
            at = tensor.end
        if at != file_size:
            raise _damaged(name, f"its tensors end at byte {at:,}, but the file has {file_size:,} bytes")


class Part:
    """The byte range of a tensor that an index selects, and how the array is made of it."""

    def __init__(self, tensor: TensorInfo, index: Index | None) -> None:
        self.tensor = tensor
        axes = () if index is None else _axes(tensor, index)
        self.rest: tuple[Any, ...] = ()
        self.shape = tensor.shape
        self.start, self.end = tensor.start, tensor.end
        if _TYPES[tensor.dtype][1] is None:
            raise NotSupportedError(
                f"{tensor.name}: arrays of {tensor.dtype} are not supported; read its bytes, from start to end"
            )
        for number, axis in enumerate(axes):
            length, step = tensor.shape[number], math.prod(tensor.shape[number + 1 :]) * _TYPES[tensor.dtype][0] // 8
            if not isinstance(axis, slice):
                at = operator.index(axis)
                if not -length <= at < length:
                    raise IndexError(f"{tensor.name}: {at} is out of range on axis {number}, which has {length}")
                self.start += at % length * step
                self.end = self.start + step
                self.shape = tensor.shape[number + 1 :]
                continue
            # Read the rows from the first to the last one selected; numpy or torch applies the rest of the index.
            rows = range(length)[axis]
            first, last = (min(rows[0], rows[-1]), max(rows[0], rows[-1]) + 1) if rows else (0, 0)
            self.start, self.end = self.start + first * step, self.start + last * step
            self.shape = (last - first, *tensor.shape[number + 1 :])
            way = slice(None) if rows.step > 0 else slice(None, None, -1)
            self.rest = (way if abs(rows.step) == 1 else slice(None, None, rows.step), *axes[number + 1 :])
            return

    def array(self, data: bytes, framework: Framework) -> Any:
        """The selected part as an array, made of the bytes from ``start`` to ``end``: a copy, which may be written to."""
        values = bytearray(data)
        if framework == "torch":
            torch = import_torch()
            kind = getattr(torch, _TYPES[self.tensor.dtype][2] or "", None)
            if kind is None:
                raise NotSupportedError(
                    f"{self.tensor.name}: this version of torch does not support {self.tensor.dtype}"
                )
            found = torch.frombuffer(values, dtype=kind) if values else torch.empty(0, dtype=kind)
            return _chosen_by_torch(found.reshape(self.shape), self.rest)
        import numpy as np

        array = np.frombuffer(values, dtype=_numpy_type(self.tensor)).reshape(self.shape)
        return array[self.rest] if self.rest else array


def _axes(tensor: TensorInfo, index: Index) -> tuple[SupportsIndex | slice, ...]:
    """A number or a range for each of the first axes; ``...`` is replaced by whole ranges."""
    given = index if isinstance(index, tuple) else (index,)
    for axis in given:
        # `True` has an ``__index__`` of 1, but numpy and torch select something else by it.
        if isinstance(axis, bool) or not (axis is Ellipsis or isinstance(axis, slice) or hasattr(axis, "__index__")):
            raise TypeError(f"{tensor.name}[{axis!r}]: expected whole numbers, ranges and '...'")
    dots = [number for number, axis in enumerate(given) if axis is Ellipsis]
    missing = len(tensor.shape) - (len(given) - len(dots))
    if missing < 0 or len(dots) > 1:
        raise IndexError(f"{tensor.name} has {len(tensor.shape)} axes; the index has more, or two '...'")
    if dots:
        given = (*given[: dots[0]], *[slice(None)] * missing, *given[dots[0] + 1 :])
    return tuple(axis for axis in given if not isinstance(axis, EllipsisType))


def _chosen_by_torch(tensor: Any, rest: tuple[Any, ...]) -> Any:
    """Like ``tensor[rest]``, but also with negative steps, which torch does not support."""
    for axis, chosen in enumerate(rest):
        if isinstance(chosen, slice) and chosen.step is not None and chosen.step < 0:
            rows = range(tensor.shape[axis])[chosen]
            tensor = tensor.index_select(axis, import_torch().tensor(list(rows), dtype=import_torch().int64))
            rest = (*rest[:axis], slice(None), *rest[axis + 1 :])
    return tensor[rest] if rest else tensor


def _numpy_type(tensor: TensorInfo) -> Any:
    import numpy as np

    module, _, name = (_TYPES[tensor.dtype][1] or "").rpartition(":")
    if not module:
        return np.dtype(name)
    try:
        import ml_dtypes
    except ImportError:
        raise ConfigError(
            f"{tensor.name} is of {tensor.dtype}, which numpy does not support: pip install ml_dtypes, or open the file with "
            "framework='torch'"
        ) from None
    return np.dtype(getattr(ml_dtypes, name))


def import_torch() -> Any:
    try:
        import torch
    except ImportError:
        raise ConfigError("framework='torch' needs torch: pip install torch") from None
    return torch


def header_length(name: str, first: bytes, size: int) -> int:
    """The length of the header in bytes, from the first bytes of the file."""
    if len(first) < LENGTH:
        raise _damaged(name, f"it has {size:,} bytes, too few for a header")
    length = int.from_bytes(first[:LENGTH], "little")
    if length > min(_MAX_HEADER, size - LENGTH):
        limit = f"the file has {size:,}" if size - LENGTH < _MAX_HEADER else f"at most {_MAX_HEADER:,} are read"
        raise _damaged(name, f"its header has {length:,} bytes by its first field, and {limit}")
    return length


def _damaged(name: str, reason: str) -> FormatError:
    return FormatError(f"{name} is not a safetensors file, or is damaged: {reason}")


def _short(text: str) -> str:
    return repr(text if len(text) <= 100 else f"{text[:100]}…")
