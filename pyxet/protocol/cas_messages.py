"""The JSON of the CAS as typed structs, shared by the client and the local endpoint."""

from __future__ import annotations

import msgspec

from pyxet.protocol.messages import CasStruct, Count
from pyxet.secrets import Secret


class WireRange(CasStruct):
    """Chunk ranges exclude ``end``; byte ranges (``bytes``, ``url_range``) include it, as in HTTP."""

    start: Count
    end: Count


class WireTerm(CasStruct):
    """Part of a file. ``chunk_byte_sizes`` are the raw sizes of its chunks, which are sent only on request."""

    hash: str
    unpacked_length: Count
    range: WireRange
    chunk_byte_sizes: list[Count] | msgspec.UnsetType = msgspec.UNSET


class WireFetchV1(CasStruct):
    range: WireRange
    url: Secret
    url_range: WireRange


class ReconstructionV1(CasStruct):
    offset_into_first_range: Count
    terms: list[WireTerm]
    fetch_info: dict[str, list[WireFetchV1]]


class FileKey(CasStruct):
    """A file in the body of ``POST /v1/reconstructions``, which is a list of these."""

    prefix: str
    hash: str


class BatchReconstruction(CasStruct):
    """Answer of ``GET /v1/reconstructions?file_id=…&file_id=…``: the terms of whole files, and the fetches that they share.

    A file that the CAS does not know may be left out.
    """

    files: dict[str, list[WireTerm]]
    fetch_info: dict[str, list[WireFetchV1]]


class WireFetchRange(CasStruct):
    chunks: WireRange
    bytes: WireRange


class WireFetchV2(CasStruct):
    url: Secret
    ranges: list[WireFetchRange]


class ReconstructionV2(CasStruct):
    offset_into_first_range: Count
    terms: list[WireTerm]
    xorbs: dict[str, list[WireFetchV2]]


class XorbInserted(CasStruct):
    was_inserted: bool


class Checksum(CasStruct):
    """``algo`` is ``crc64nvme``; ``value`` is decimal text, because not all JSON readers support such large numbers."""

    algo: str
    value: str


class GrantRequest(CasStruct):
    """Body of ``POST /v1/xorb-grants/default/{xorb}``: length in bytes and checksum of the serialized xorb."""

    length: Count
    checksum: Checksum


class UploadGrant(CasStruct):
    """Permission to send a xorb. Whoever has the URL and the headers can use it."""

    id: str
    method: str
    url: Secret
    headers: dict[str, Secret]


class ShardResultV1(CasStruct):
    result: int


class ShardEvent(CasStruct, omit_defaults=True):
    """One NDJSON line of ``POST /v2/shards``; ``result`` and ``error`` are terminal."""

    type: str
    message: str | None = None
    retryable: bool | None = None
    verified: Count | None = None
    total: Count | None = None
    stage: str | None = None
