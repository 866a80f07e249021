"""Xorbs as they arrive: written, decoded and hashed piece by piece, so that little is left to do after the last one."""

from __future__ import annotations

import mmap
import os

from pyxet._platform import begin_to_sync
from pyxet._platform_files import remove
from pyxet.errors import BadRequestError, FormatError
from pyxet.protocol.checksum import crc64_nvme
from pyxet.protocol.constants import MAX_XORB_CHUNKS
from pyxet.protocol.decoding import ChunkDecoder
from pyxet.protocol.hashing import chunk_hash, hash_to_hex, xorb_hash
from pyxet.protocol.xorb import XorbChunk, XorbInfo, parse_xorb
from pyxet.server.object_store import ObjectStore, write_all


class XorbUpload:
    """A xorb that is arriving, in a temporary file. Its methods block; one thread at a time uses it.

    Parameters
    ----------
    store:
        Where its temporary file is made.
    checksum:
        Whether to compute `crc64` on the way.

    Attributes
    ----------
    size:
        Bytes that were written.
    crc64:
        CRC-64/NVME of those bytes, if it was asked for.
    """

    def __init__(self, store: ObjectStore, *, checksum: bool = False) -> None:
        self.size = 0
        self.crc64 = 0 if checksum else None
        self.descriptor, self.temporary = store.temporary()
        self._is_open = True
        self._decoder = ChunkDecoder(MAX_XORB_CHUNKS)
        self._chunks: list[XorbChunk] = []
        self._end = 0
        # Data that is not a chunk is a footer or damage; `check` decides that when everything has arrived.
        self._only_chunks = True

    def write(self, pieces: list[bytes]) -> None:
        """The next bytes."""
        data = b"".join(pieces)
        write_all(self.descriptor, data)
        # Then the sync at the end has little left to do.
        begin_to_sync(self.descriptor, self.size, len(data))
        self.size += len(data)
        if self.crc64 is not None:
            self.crc64 = crc64_nvme((data,), self.crc64)
        if not self._only_chunks:
            return
        try:
            for chunk in self._decoder.feed(data):
                self._end += chunk.size
                self._chunks.append(XorbChunk(chunk_hash(chunk.data), len(chunk.data), self._end))
        except FormatError:
            self._only_chunks = False

    def check(self, name: str) -> XorbInfo:
        """Check the xorb that has arrived, and describe it.

        Raises
        ------
        BadRequestError, FormatError
            It is damaged, or its content has another hash than ``name``.
        """
        info = self._info()
        if hash_to_hex(info.hash) != name:
            raise BadRequestError(f"this xorb's hash is {hash_to_hex(info.hash)}, not {name}", status=400)
        return info

    def sync(self) -> None:
        """Bring all of it to the disk. Nothing can be written or checked afterwards: the file is closed."""
        os.fsync(self.descriptor)
        self._is_open = False
        os.close(self.descriptor)

    def close(self) -> None:
        """Remove the temporary file, unless it has got another name."""
        if self._is_open:
            self._is_open = False
            os.close(self.descriptor)
        remove(self.temporary, missing_ok=True)

    def _info(self) -> XorbInfo:
        if self._only_chunks and self._chunks and not self._decoder.pending:
            value = xorb_hash([(chunk.hash, chunk.raw_length) for chunk in self._chunks])
            return XorbInfo(value, tuple(self._chunks), self._end)
        if os.fstat(self.descriptor).st_size == 0:
            raise BadRequestError("the xorb is empty", status=400)
        return parse_xorb(memoryview(mmap.mmap(self.descriptor, 0, access=mmap.ACCESS_READ)))
