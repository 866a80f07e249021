"""The CAS routes (Xet specification, ``api.md``): xorbs, shards, chunk queries, reconstructions.

A file is readable with a token of a repository that holds it, or of a user who may see such a repository; others get
"not found". The module `grants` describes how xorbs are uploaded by upload grants.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from aiohttp import web
from msgspec import UNSET

from pyxet.errors import (
    AccessDeniedError,
    BadRequestError,
    EntryNotFoundError,
    FormatError,
    RangeNotSatisfiableError,
    XetError,
)
from pyxet.protocol.cas_messages import (
    BatchReconstruction,
    FileKey,
    ReconstructionV1,
    ReconstructionV2,
    ShardEvent,
    ShardResultV1,
    WireFetchRange,
    WireFetchV1,
    WireFetchV2,
    WireRange,
    WireTerm,
    XorbInserted,
)
from pyxet.protocol.constants import MAX_SHARD_BYTES, MIB
from pyxet.protocol.hashing import Hash, hash_from_hex, hash_to_hex
from pyxet.protocol.messages import decode, encode
from pyxet.protocol.reconstruction import fetch_runs
from pyxet.protocol.shard import (
    EMPTY_SHARD_SIZE,
    FileEntry,
    Footer,
    ShardChunk,
    Term,
    XorbEntry,
    write_dedup_shard,
    xorb_entry_size,
)
from pyxet.protocol.xorb import XorbInfo
from pyxet.secrets import Secret
from pyxet.server.bodies import MAX_ANONYMOUS, pieces, read_body
from pyxet.server.content import ContentStore, byte_range
from pyxet.server.hosts import absolute
from pyxet.server.object_store import is_disk_full
from pyxet.server.ranges import exact_ranges, one_range, send_file_ranges
from pyxet.server.receiving import keep, receive_xorb
from pyxet.server.rights import Rights
from pyxet.server.state import CONTENT, TOKENS, in_checker, in_worker, json_response, log

_HASH: Final = "{hash:[0-9a-f]{64}}"
_FOOTER_SIZE: Final = 200
# The most files of one batch. The most raw bytes of a run of chunks that a batch answer offers as one range.
_MAX_BATCH: Final = 1000
_MAX_RUN: Final = 16 * MIB
# The most bytes of a batch's list of files. The most raw bytes of a reconstruction that still lists its chunk sizes.
_MAX_KEYS: Final = MIB
_MAX_SIZED: Final = 1024 * MIB
# The most terms of one reconstruction: some dozen MB of JSON, kept in memory until sent. A short shard can cause many.
_MAX_TERMS: Final = 100_000
# Answers to chunk queries expire after a day. The xorbs that they name remain; only the key should be short-lived.
_SHARD_LIFE: Final = 24 * 3600
# Seconds between progress lines.
_PROGRESS: Final = 5.0
Runs = dict[Hash, list[tuple[WireRange, tuple[int, int]]]]
Sign = Callable[[str, list[tuple[int, int]]], str]


def add_routes(app: web.Application) -> None:
    """Add the CAS routes."""
    app.router.add_post(f"/v1/xorbs/default/{_HASH}", post_xorb)
    app.router.add_get(f"/v1/xorbs/default/{_HASH}", get_xorb)
    app.router.add_post("/v1/shards", post_shard_v1)
    app.router.add_post("/v2/shards", post_shard_v2)
    app.router.add_get(f"/v1/chunks/default/{_HASH}", get_chunk)
    # The path in the specification.
    app.router.add_get(f"/v1/chunks/default-merkledb/{_HASH}", get_chunk)
    app.router.add_get(f"/v1/reconstructions/{_HASH}", get_reconstruction_v1)
    app.router.add_get(f"/v2/reconstructions/{_HASH}", get_reconstruction_v2)
    app.router.add_get("/v1/reconstructions", get_reconstructions)
    app.router.add_post("/v1/reconstructions", post_reconstructions)
    app.router.add_head(f"/v1/files/{_HASH}", head_file)
    app.router.add_post("/v1/telemetry", post_telemetry)


def takes_signed_url(request: web.Request) -> bool:
    """Whether the request is for bytes of a xorb: its signed URL is checked instead of a token."""
    return request.method == "GET" and request.match_info.handler is get_xorb


async def post_xorb(request: web.Request) -> web.Response:
    """``POST /v1/xorbs/default/{hash}``: write the xorb to a temporary file as it arrives, then check and keep it."""
    rights = Rights(request, "write")
    upload = await receive_xorb(request)
    try:
        inserted = await keep(request, rights, upload, request.match_info["hash"])
    finally:
        await in_worker(request, upload.close)
    return json_response(encode(XorbInserted(was_inserted=inserted)))


async def get_xorb(request: web.Request) -> web.StreamResponse:
    """``GET /v1/xorbs/default/{hash}``: the bytes that the URL is signed for. HEAD needs a token instead."""
    name = request.match_info["hash"]
    content = request.app[CONTENT]
    if request.method == "HEAD":
        return await _head_xorb(request, name)
    ranges = _signed_ranges(request)

    def find() -> tuple[Path, int]:
        size = content.index.xorb_size(hash_from_hex(name))
        if size is None:
            raise EntryNotFoundError(f"xorb {name} is not stored", status=404)
        return content.xorbs.path(name), size

    try:
        return await send_file_ranges(request, find, ranges)
    except FileNotFoundError as error:
        raise EntryNotFoundError(f"xorb {name} is not stored any more", status=404) from error


async def _head_xorb(request: web.Request, name: str) -> web.Response:
    rights, index = Rights(request, "read"), request.app[CONTENT].index

    def look() -> int | None:
        value = hash_from_hex(name)
        return index.xorb_size(value) if rights.may_use(value) else None

    size = await in_worker(request, look)
    if size is None:
        raise EntryNotFoundError(f"xorb {name} is not stored", status=404)
    return web.Response(headers={"Content-Length": str(size)})


def _signed_ranges(request: web.Request) -> list[tuple[int, int]]:
    """Starts and ends of the requested ranges; `AccessDeniedError` if the URL is not signed for one of them."""
    ranges = exact_ranges(request)
    if not ranges:
        raise AccessDeniedError(
            "the URL is signed for ranges of bytes; ask for some of them, in ascending order", status=403
        )
    request.app[TOKENS].check_query(request.match_info["hash"], request.query, ranges)
    return ranges


async def post_shard_v1(request: web.Request) -> web.Response:
    """``POST /v1/shards``: the result is 1 if the shard brought something new, else 0."""
    rights = Rights(request, "write")
    new = await in_checker(request, _add_shard, request.app[CONTENT], rights, await read_body(request, MAX_SHARD_BYTES))
    return json_response(encode(ShardResultV1(result=int(new))))


async def post_shard_v2(request: web.Request) -> web.StreamResponse:
    """``POST /v2/shards``: NDJSON that ends with ``result`` or ``error``; progress lines before it keep the connection alive."""
    rights = Rights(request, "write")
    data = await read_body(request, MAX_SHARD_BYTES)
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    await response.prepare(request)
    adding = asyncio.ensure_future(in_checker(request, _add_shard, request.app[CONTENT], rights, data))
    try:
        while not adding.done():
            await response.write(encode(ShardEvent(type="validating", verified=0, total=1)) + b"\n")
            await asyncio.wait([adding], timeout=_PROGRESS)
    finally:
        await asyncio.wait([adding])
    error = adding.exception()
    if error is None:
        last = ShardEvent(type="result")
    elif isinstance(error, XetError):
        last = ShardEvent(type="error", message=str(error), retryable=False)
    elif is_disk_full(error):
        last = ShardEvent(type="error", message="the endpoint's disk is full; nothing was stored", retryable=False)
    else:
        log.error("a shard failed", exc_info=error)
        last = ShardEvent(type="error", message=f"the endpoint failed: {type(error).__name__}", retryable=True)
    await response.write(encode(last) + b"\n")
    return response


def _add_shard(content: ContentStore, rights: Rights, data: bytes) -> bool:
    return content.add_shard(data, rights.repo, rights.may_use)


async def get_chunk(request: web.Request) -> web.Response:
    """``GET /v1/chunks/default/{hash}``: a keyed shard with the xorbs that were uploaded along with the chunk."""
    rights = Rights(request, "read")
    chunk = hash_from_hex(request.match_info["hash"])
    data = await in_checker(request, _dedup_shard, request.app[CONTENT], rights, chunk)
    if data is None:
        raise EntryNotFoundError("no such chunk is known", status=404)
    return web.Response(body=data, content_type="application/octet-stream")


def _dedup_shard(content: ContentStore, rights: Rights, chunk: Hash) -> bytes | None:
    """The xorbs of the newest shard that has the chunk in a xorb this user may use, as a shard; ``None`` if none has."""
    xorbs = content.xorbs_with(chunk, rights.may_use)
    return _keyed_shard(content, xorbs) if xorbs else None


def _keyed_shard(content: ContentStore, xorbs: Iterable[XorbInfo]) -> bytes:
    entries: list[XorbEntry] = []
    size = EMPTY_SHARD_SIZE + _FOOTER_SIZE
    for info in xorbs:
        size += xorb_entry_size(len(info.chunks))
        if size > MAX_SHARD_BYTES:
            break
        chunks = tuple(ShardChunk(item.hash, item.raw_length) for item in info.chunks)
        entries.append(XorbEntry(info.hash, chunks, info.size))
    now = int(time.time())
    return write_dedup_shard(entries, Footer(key=content.query_key, created=now, expires=now + _SHARD_LIFE))


async def get_reconstruction_v1(request: web.Request) -> web.Response:
    """``GET /v1/reconstructions/{hash}``: one URL for each run of chunks."""
    return await _reconstruction(request, _plan_v1)


async def get_reconstruction_v2(request: web.Request) -> web.Response:
    """``GET /v2/reconstructions/{hash}``: one URL for each xorb, valid for any one of its ranges."""
    return await _reconstruction(request, _plan_v2)


async def get_reconstructions(request: web.Request) -> web.Response:
    """``GET /v1/reconstructions?file_id=…&file_id=…``: whole files at once. Unknown ones are left out of the answer."""
    return await _batch(request, Rights(request, "read"), request.query.getall("file_id", []))


async def post_reconstructions(request: web.Request) -> web.Response:
    """``POST /v1/reconstructions``: the same for ``[{"prefix": "default", "hash": …}, …]``."""
    rights = Rights(request, "read")
    keys = decode(await read_body(request, _MAX_KEYS), list[FileKey], what="the files of a batch")
    if any(key.prefix != "default" for key in keys):
        raise BadRequestError('the prefix of a file must be "default"', status=400)
    return await _batch(request, rights, [key.hash for key in keys])


async def _batch(request: web.Request, rights: Rights, asked: Iterable[str]) -> web.Response:
    names = dict.fromkeys(asked)
    if len(names) > _MAX_BATCH:
        raise BadRequestError(f"at most {_MAX_BATCH:,} files at once", status=400)
    try:
        values = [hash_from_hex(name) for name in names]
    except FormatError as error:
        raise BadRequestError(f"the hash of a file: {error}", status=400) from error
    content, sign, sizes = request.app[CONTENT], _signer(request), _chunk_sizes(request)

    def plan() -> bytes:
        found: dict[Hash, FileEntry] = {}
        total = 0
        for value in values:
            entry = content.file(value)
            if entry is not None and rights.may_read(entry):
                found[value] = entry
                total += len(entry.terms)
                _check_terms(total, "ask for fewer files at once")
        runs = fetch_runs([term for entry in found.values() for term in entry.terms], max_raw=_MAX_RUN)
        return encode(
            BatchReconstruction(
                files={hash_to_hex(value): _wire(entry.terms, sizes) for value, entry in found.items()},
                fetch_info=_fetch_info(_placed(content, runs), sign),
            )
        )

    return json_response(await in_worker(request, plan))


def _plan_v1(skip: int, terms: list[WireTerm], runs: Runs, sign: Sign) -> bytes:
    return encode(ReconstructionV1(offset_into_first_range=skip, terms=terms, fetch_info=_fetch_info(runs, sign)))


def _fetch_info(runs: Runs, sign: Sign) -> dict[str, list[WireFetchV1]]:
    return {
        hash_to_hex(value): [
            WireFetchV1(range=chunks, url=Secret(sign(hash_to_hex(value), [span])), url_range=_inclusive(span))
            for chunks, span in found
        ]
        for value, found in runs.items()
    }


def _plan_v2(skip: int, terms: list[WireTerm], runs: Runs, sign: Sign) -> bytes:
    xorbs = {
        hash_to_hex(value): [
            WireFetchV2(
                url=Secret(sign(hash_to_hex(value), [span for _, span in found])),
                ranges=[WireFetchRange(chunks=chunks, bytes=_inclusive(span)) for chunks, span in found],
            )
        ]
        for value, found in runs.items()
    }
    return encode(ReconstructionV2(offset_into_first_range=skip, terms=terms, xorbs=xorbs))


async def head_file(request: web.Request) -> web.Response:
    """``HEAD /v1/files/{hash}``: the size of a file in its length header."""
    find, content = _finder(request), request.app[CONTENT]
    size = await in_worker(request, lambda: content.size_of(find()))
    return web.Response(headers={"Content-Length": str(size)})


async def post_telemetry(request: web.Request) -> web.Response:
    """``POST /v1/telemetry``: accepted and forgotten."""
    async for _ in pieces(request, MAX_ANONYMOUS):
        pass
    return web.Response()


async def _reconstruction(
    request: web.Request, form: Callable[[int, list[WireTerm], Runs, Sign], bytes]
) -> web.Response:  # fmt: skip
    """The reconstruction of the requested range, trimmed to the chunks that overlap it."""
    wanted: tuple[int, int | None] = (0, None)
    if "Range" in request.headers:
        first, last = one_range(request) or (None, None)
        if first is None:
            raise BadRequestError("the range must be bytes=first-last", status=400)
        wanted = (first, None if last is None else last + 1)
    content, sign, sizes = request.app[CONTENT], _signer(request), _chunk_sizes(request)
    find = _finder(request)

    def plan() -> bytes:
        entry = find()
        size, (start, end) = content.size_of(entry), wanted
        end = size if end is None else min(size, end)
        if start >= end and "Range" in request.headers:
            raise RangeNotSatisfiableError(f"the file has {size:,} bytes", status=416)
        skip, terms = content.trim(entry, start, end)
        _check_terms(len(terms), "ask for a smaller range")
        return form(skip, _wire(terms, sizes), _placed(content, fetch_runs(terms)), sign)

    # One worker call for all of it: handing work to a thread costs more than making the reconstruction.
    return json_response(await in_worker(request, plan))


def _check_terms(number: int, instead: str) -> None:
    if number > _MAX_TERMS:
        raise BadRequestError(f"the plan would have more than {_MAX_TERMS:,} terms; {instead}", status=413)


def _signer(request: web.Request) -> Sign:
    tokens, base = request.app[TOKENS], absolute(request, "/v1/xorbs/default/")
    return lambda name, spans: f"{base}{name}?{tokens.signed_query(name, spans)}"


def _placed(content: ContentStore, runs: Mapping[Hash, list[tuple[int, int]]]) -> Runs:
    """Runs of chunks, each with its byte range in its xorb."""
    return {
        value: [
            (WireRange(start=first, end=last), byte_range(content.stored(value), first, last)) for first, last in found
        ]
        for value, found in runs.items()
    }


def _finder(request: web.Request) -> Callable[[], FileEntry]:
    """A function that finds the file the request names, if the caller may read it. The function blocks."""
    value, rights, content = hash_from_hex(request.match_info["hash"]), Rights(request, "read"), request.app[CONTENT]

    def find() -> FileEntry:
        entry = content.file(value)
        if entry is None or not rights.may_read(entry):
            raise EntryNotFoundError(f"file {hash_to_hex(value)} is not stored", status=404)
        return entry

    return find


def _chunk_sizes(request: web.Request) -> ContentStore | None:
    """The store that knows the chunk sizes, if the request asks for them; else ``None``."""
    return request.app[CONTENT] if request.query.get("chunk_byte_sizes") == "true" else None


def _wire(terms: Sequence[Term], sizes: ContentStore | None) -> list[WireTerm]:
    """Terms as the answer lists them; with ``sizes``, the raw sizes of their chunks, up to `_MAX_SIZED` raw bytes in all."""
    if sizes is not None and sum(term.raw_length for term in terms) > _MAX_SIZED:
        sizes = None
    return [
        WireTerm(
            hash=hash_to_hex(term.xorb_hash),
            unpacked_length=term.raw_length,
            range=WireRange(start=term.chunk_start, end=term.chunk_end),
            chunk_byte_sizes=UNSET if sizes is None else _raw_lengths(sizes, term),
        )
        for term in terms
    ]


def _raw_lengths(content: ContentStore, term: Term) -> list[int]:
    return [chunk.raw_length for chunk in content.stored(term.xorb_hash).chunks[term.chunk_start : term.chunk_end]]


def _inclusive(span: tuple[int, int]) -> WireRange:
    return WireRange(start=span[0], end=span[1] - 1)
