"""Formats written by hand from the tables of the Internet-Draft, for comparison with the package's own writers."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from pyxet.protocol.hashing import keyed_chunk_hash
from pyxet.protocol.shard import FileEntry, Footer, XorbEntry
from pyxet.protocol.xorb import XorbInfo

BOOKEND = b"\xff" * 32 + bytes(16)
_TAG = b"HFRepoMetaData\0" + bytes.fromhex("556967456a7b815783a5bdd95ccdd14aa9")


def shard(
    files: Sequence[FileEntry], xorbs: Sequence[XorbEntry], footer: Footer | None = None, *, tables: bool = True
) -> bytes:
    """A shard. With a footer, chunk hashes are keyed by the footer's key, and there are sorted lookup tables if ``tables``."""
    key = footer.key if footer else bytes(32)
    data = _TAG + struct.pack("<QQ", 2, 200 if footer else 0)
    file_rows, xorb_rows, chunk_rows = [], [], []
    start = len(data)
    for file in files:
        file_rows.append((int.from_bytes(file.file_hash[:8], "little"), (len(data) - start) // 48))
        flags = (0x8000_0000 if file.verification or not file.terms else 0) | (0x4000_0000 if file.sha256 else 0)
        data += file.file_hash + struct.pack("<IIQ", flags, len(file.terms), 0)
        for term in file.terms:
            data += term.xorb_hash + struct.pack("<IIII", 0, term.raw_length, term.chunk_start, term.chunk_end)
        data += b"".join(value + bytes(16) for value in file.verification)
        if file.sha256:
            digest = bytes.fromhex(file.sha256)
            data += b"".join(digest[at : at + 8][::-1] for at in range(0, 32, 8)) + bytes(16)
    data += BOOKEND
    xorbs_at = len(data)
    for xorb in xorbs:
        record = (len(data) - xorbs_at) // 48
        xorb_rows.append((int.from_bytes(xorb.xorb_hash[:8], "little"), record))
        raw = sum(chunk.raw_length for chunk in xorb.chunks)
        data += xorb.xorb_hash + struct.pack("<IIII", 0, len(xorb.chunks), raw, xorb.stored_size)
        offset = 0
        for index, chunk in enumerate(xorb.chunks):
            value = keyed_chunk_hash(key, chunk.hash)
            flags = 0 if int.from_bytes(chunk.hash[24:], "little") % 1024 else 0x8000_0000
            data += value + struct.pack("<IIII", offset, chunk.raw_length, flags, 0)
            chunk_rows.append((int.from_bytes(value[:8], "little"), record, index))
            offset += chunk.raw_length
    data += BOOKEND
    if footer is None:
        return data
    words = []
    for form, rows in (("<QI", file_rows), ("<QI", xorb_rows), ("<QII", chunk_rows)):
        rows = rows if tables else []
        words += [len(data), len(rows)]
        data += b"".join(struct.pack(form, *row) for row in sorted(rows))
    end = struct.pack("<9Q", 1, start, xorbs_at, *words) + key + struct.pack("<QQ", footer.created, footer.expires)
    return data + end + bytes(72) + struct.pack("<Q", len(data))


def xorb_footer(info: XorbInfo, *, unused: bytes = bytes(16)) -> bytes:
    """The footer of a xorb with its length trailer; ``unused`` are the last 16 bytes, which other writers may use."""
    count = struct.pack("<I", len(info.chunks))
    hashes = b"XBLBHSH\0" + count + b"".join(chunk.hash for chunk in info.chunks)
    raw = [sum(chunk.raw_length for chunk in info.chunks[: index + 1]) for index in range(len(info.chunks))]
    bounds = b"XBLBBND\1" + count + struct.pack(f"<{2 * len(raw)}I", *(chunk.end for chunk in info.chunks), *raw)
    footer = b"XETBLOB\1" + info.hash + hashes + bounds + count
    footer += struct.pack("<II", len(hashes) + len(bounds) + 28, len(bounds) + 28) + unused
    return footer + struct.pack("<I", len(footer))
