"""CRC-64/NVME, the checksum with which a xorb is announced for an upload grant (``update_261006_xorb_upload_grants``)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pyxet.protocol import kernels
from pyxet.protocol.hashing import Buffer

_ONES: Final = 2**64 - 1
_kernel = kernels.load(kernels.name)


def crc64_nvme(parts: Iterable[Buffer], before: int = 0) -> int:
    """The checksum of consecutive buffers.

    Parameters
    ----------
    parts:
        The buffers, in order.
    before:
        Checksum of the bytes before them.

    Returns
    -------
    int
        The checksum, 64 bits unsigned. That of ``b"123456789"`` is ``0xae8b14860a799888``.
    """
    register = before ^ _ONES
    for part in parts:
        register = _kernel.crc64(part, register)
    return register ^ _ONES
