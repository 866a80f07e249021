"""Reads many small files at once: one plan for up to a hundred files, and one request for what lies together in a xorb.

A small file that is read on its own costs two round trips, whatever its size. The CAS plans whole files in batches, and
files that were uploaded together lie side by side in a xorb, so a batch costs a few requests in all. A batch is only a
way to save requests: a file that it does not bring and verify is read on its own, and that read raises what is wrong.
"""

from __future__ import annotations

import errno
import os
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pyxet._async.download import leftovers
from pyxet._async.endpoint.cas import Cas, UrlExpiredError
from pyxet._async.runtime.batching import Batches
from pyxet._async.runtime.budget import READ_MEMORY
from pyxet._async.runtime.tasks import SingleFlight, run_all, run_each
from pyxet._async.runtime.threads import in_thread, to_end
from pyxet._platform import lock_descriptor
from pyxet._platform_files import closing, remove, replace
from pyxet.config import Limits
from pyxet.errors import FormatError, IntegrityError, NotFoundError, XetError
from pyxet.protocol.constants import CHUNK_HEADER_SIZE, MIB
from pyxet.protocol.decoding import ChunkDecoder
from pyxet.protocol.hashing import Buffer, Hash, chunk_hash, file_hash, hash_from_hex
from pyxet.protocol.reconstruction import FetchRange, Plan
from pyxet.protocol.xorb import ChunkHeader
from pyxet.types import RemoteFile, RepoId

# Bytes up to which a file is small. Larger files gain little from a batch.
SMALL: Final = MIB
# The hashes of this many files make a URL of 7 KiB; servers and proxies accept 8.
_MAX_FILES: Final = 100
# Bytes of content in a batch: all of it is in memory at once, and is requested again if it fails.
_MAX_BYTES: Final = 4 * MIB
_BATCHES_AT_ONCE: Final = 16
_FETCHES_AT_ONCE: Final = 16
# Reads by `SmallFiles.read` that run at the same time; further reads wait and are then made as one batch.
_READS_AT_ONCE: Final = 8
# Bytes allowed beyond the content of the files: chunk headers, and chunks at the edges that are only partly needed.
_SLACK: Final = MIB // 4

Alone = Callable[[RemoteFile], Awaitable[bytes]]


class BatchResult(dict[Hash, bytes | Exception]):
    """Verified contents of a batch by hash, and errors of the endpoint or the network.

    A file that is missing here must be read on its own. ``unanswered`` is true if the endpoint returned no plan at all,
    perhaps because it does not support batches.
    """

    unanswered = False

    def of(self, file: RemoteFile) -> bytes | Exception | None:
        """The content of a file, or its error; ``None`` if it is missing here or has another size than the file."""
        found = self.get(_value(file))
        return None if isinstance(found, bytes) and len(found) != file.size else found


def is_small(file: RemoteFile, start: int, end: int) -> bool:
    """Whether bytes ``start`` to before ``end`` are all of a file, and the file is small enough for a batch."""
    return file.xet_hash is not None and 0 < file.size <= SMALL and start == 0 and end >= file.size


@dataclass(frozen=True, slots=True)
class Placed:
    """A small file to be downloaded to a local path.

    Attributes
    ----------
    source:
        The caller's name for the file.
    """

    file: RemoteFile
    source: str
    target: str


class SmallFiles:
    """Reads the small files of one client's repositories in batches.

    In all methods, ``alone`` is a function that reads one file on its own, verifies it, and raises a typed error.

    Parameters
    ----------
    cas:
        The CAS of a repository.
    limits:
        A batch takes its memory from the budget, like any other read.
    """

    def __init__(self, cas: Callable[[RepoId], Cas], limits: Limits) -> None:
        self._cas = cas
        self._memory = limits.memory // 2
        # A batch is in memory three times: as it came, decoded, and as files.
        self._batch_bytes = min(_MAX_BYTES, max(SMALL, self._memory // 4))
        self._flights: SingleFlight[tuple[RepoId, tuple[Hash, ...]], BatchResult] = SingleFlight()
        self._together: Batches[RepoId, RemoteFile, BatchResult] = Batches(
            _MAX_FILES, at_once=_READS_AT_ONCE, weigh=lambda file: file.size, most_weight=self._batch_bytes
        )

    async def read_all(self, files: Sequence[RemoteFile], alone: Alone) -> list[bytes | Exception]:
        """Contents of small files, in order. If a file cannot be read, its result is the error."""
        results: list[bytes | Exception] = [b""] * len(files)

        async def read(batch: list[int]) -> None:
            wanted = [files[index] for index in batch]
            repo, values = wanted[0].repo, tuple(dict.fromkeys(map(_value, wanted)))
            brought = await self._flights.run((repo, values), lambda: self._hold_and_bring(wanted))
            left = []
            for index in batch:
                content = brought.of(files[index])
                if content is None:
                    left.append(index)
                else:
                    results[index] = content
            rest = await run_each(alone, [files[index] for index in left], limit=_FETCHES_AT_ONCE)
            self._judge(repo, brought, rest)
            for index, found in zip(left, rest, strict=True):
                results[index] = found

        await run_all(read, self._batches(files), limit=_BATCHES_AT_ONCE)
        return results

    async def download_all(
        self,
        items: Sequence[Placed],
        alone: Callable[[Placed], Awaitable[None]],
        on_done: Callable[[Placed], object],
    ) -> None:
        """Download small files. The first error is raised. A file appears under its name complete or not at all.

        Parameters
        ----------
        alone:
            Downloads one file on its own.
        on_done:
            Called for each file that was not downloaded on its own.
        """

        async def download(batch: list[int]) -> None:
            wanted = [items[index] for index in batch]
            async with self._room([item.file for item in wanted]):
                brought = await self._bring([item.file for item in wanted])
                for content in brought.values():
                    if isinstance(content, Exception):
                        raise content
                there, left = await to_end(_place, wanted, brought)
            brought.clear()
            for item in there:
                on_done(item)
            done = await run_all(alone, left, limit=_FETCHES_AT_ONCE)
            self._judge(wanted[0].file.repo, brought, done)

        await run_all(download, self._batches([item.file for item in items]), limit=_BATCHES_AT_ONCE)

    async def read(self, file: RemoteFile, alone: Alone) -> bytes:
        """The content of one small file, read in a batch with others that are requested at the same time."""
        if not self._cas(file.repo).batches:
            return await alone(file)

        async def read(files: list[RemoteFile]) -> BatchResult:
            contents = {_value(item): item for item in files}
            if len(contents) > 1:
                return await self._hold_and_bring(files)
            return BatchResult({_value(files[0]): await alone(files[0])})

        content = (await self._together.run(file.repo, file, read)).of(file)
        if isinstance(content, Exception):
            raise content
        return await alone(file) if content is None else content

    def _batches(self, files: Sequence[RemoteFile]) -> list[list[int]]:
        """Indices of files, in groups of one repository each. Order is kept: neighbours probably lie in the same xorb."""
        of_repo: defaultdict[RepoId, list[int]] = defaultdict(list)
        for index, file in enumerate(files):
            of_repo[file.repo].append(index)
        batches: list[list[int]] = []
        for indices in of_repo.values():
            size = 0
            batch: list[int] = []
            for index in indices:
                # Equal contents are counted each time, as each of the files is written.
                if batch and (len(batch) == _MAX_FILES or size + files[index].size > self._batch_bytes):
                    batches.append(batch)
                    size, batch = 0, []
                size += files[index].size
                batch.append(index)
            batches.append(batch)
        return batches

    def _judge(self, repo: RepoId, brought: BatchResult, alone: Sequence[object]) -> None:
        """Note that the CAS does not plan batches, if it had no plan for this one but each of its files was read alone."""
        if brought.unanswered and not any(isinstance(result, Exception) for result in alone):
            self._cas(repo).note_missing_batch()

    @asynccontextmanager
    async def _room(self, files: Sequence[RemoteFile]) -> AsyncIterator[None]:
        amount = 3 * sum({file.xet_hash: file.size for file in files}.values()) + _SLACK
        async with READ_MEMORY.hold(amount, self._memory):
            yield

    async def _hold_and_bring(self, files: Sequence[RemoteFile]) -> BatchResult:
        async with self._room(files):
            return await self._bring(files)

    async def _bring(self, files: Sequence[RemoteFile]) -> BatchResult:
        """Read one batch, of one repository; the caller holds the room for it."""
        cas = self._cas(files[0].repo)
        cas.note_revision(files[0].revision)
        sizes = {_value(file): file.size for file in files}
        try:
            plans = await cas.reconstructions(list(sizes))
        except XetError as error:
            return BatchResult(dict.fromkeys(sizes, error))
        brought = BatchResult()
        if plans is None:
            brought.unanswered = True
            return brought
        wanted = _sensible(plans, sizes)
        fetches = list(dict.fromkeys(part.fetch for plan in wanted.values() for part in plan.terms))

        async def body(fetch: FetchRange) -> list[Buffer]:
            async with aclosing(cas.fetch(fetch)) as pieces:
                return [piece async for piece in pieces]

        bodies = await run_each(body, fetches, limit=_FETCHES_AT_ONCE)
        arrived: dict[FetchRange, list[Buffer]] = {}
        failed: dict[FetchRange, Exception] = {}
        for fetch, found in zip(fetches, bodies, strict=True):
            if not isinstance(found, Exception):
                arrived[fetch] = found
            elif not isinstance(found, (UrlExpiredError, FormatError, IntegrityError, NotFoundError)):
                failed[fetch] = found
        del bodies
        for value, plan in wanted.items():
            for part in plan.terms:
                if part.fetch in failed:
                    brought[value] = failed[part.fetch]
        brought.update(await in_thread(_assembled, wanted, arrived))
        return brought


def _value(file: RemoteFile) -> Hash:
    return hash_from_hex(file.xet_hash or "")


def _sensible(plans: Mapping[Hash, Plan | FormatError], sizes: Mapping[Hash, int]) -> dict[Hash, Plan]:
    """The plans that fetch little more than their file. Other plans would take too much memory."""
    good = {
        value: plan
        for value, size in sizes.items()
        if isinstance(plan := plans.get(value), Plan) and _is_of_size(plan, size)
    }
    needed: defaultdict[FetchRange, int] = defaultdict(int)
    for plan in good.values():
        for part in plan.terms:
            needed[part.fetch] += part.term.chunk_end - part.term.chunk_start
    room = sum(sizes.values()) + _SLACK
    dear = set()
    for fetch, chunks in needed.items():
        room -= fetch.byte_end - fetch.byte_start
        if fetch.chunk_end - fetch.chunk_start > chunks or room < 0:
            dear.add(fetch)
    return {value: plan for value, plan in good.items() if dear.isdisjoint(part.fetch for part in plan.terms)}


def _is_of_size(plan: Plan, size: int) -> bool:
    try:
        plan.check_length(size)
    except FormatError:
        return False
    return plan.raw_length == size


def _assembled(plans: Mapping[Hash, Plan], bodies: dict[FetchRange, list[Buffer]]) -> dict[Hash, bytes]:
    """The contents whose hash is right; others are left out. Empties ``bodies``."""
    raw: defaultdict[FetchRange, int] = defaultdict(int)
    for plan in plans.values():
        for part in plan.terms:
            raw[part.fetch] += part.term.raw_length
    decoded: dict[FetchRange, list[tuple[Buffer, Hash]]] = {}
    while bodies:
        fetch, body = bodies.popitem()
        with suppress(FormatError):
            decoded[fetch] = _decoded(b"".join(body), fetch, raw[fetch])
    found: dict[Hash, bytes] = {}
    for value, plan in plans.items():
        chunks: list[tuple[Buffer, Hash]] = []
        for part in plan.terms:
            first = part.term.chunk_start - part.fetch.chunk_start
            last = part.term.chunk_end - part.fetch.chunk_start
            chunks += decoded.get(part.fetch, ())[first:last]
        # The hash covers all chunks and their lengths, so it also detects missing chunks.
        if file_hash((digest, len(data)) for data, digest in chunks) == value:
            found[value] = b"".join(data for data, _ in chunks)
    return found


def _decoded(body: bytes, fetch: FetchRange, most: int) -> list[tuple[Buffer, Hash]]:
    """The chunks of a fetch with their hashes. The raw lengths in the headers are checked before any chunk is decoded."""
    at = 0
    while at + CHUNK_HEADER_SIZE <= len(body):
        header = ChunkHeader.unpack(body, at)
        at += CHUNK_HEADER_SIZE + header.payload_length
        most -= header.raw_length
        if most < 0:
            raise FormatError("xorb: more content than was announced", offset=at)
    decoder = ChunkDecoder(fetch.chunk_end - fetch.chunk_start)
    chunks = decoder.feed(body)
    decoder.finish()
    return [(chunk.data, chunk_hash(chunk.data)) for chunk in chunks]


# -- local files -------------------------------------------------------------------------------------------------------


def _place(items: Sequence[Placed], contents: BatchResult) -> tuple[list[Placed], list[Placed]]:
    """Write files. Returns those written, and those whose content is missing or that could not be written."""
    there: list[Placed] = []
    left: list[Placed] = []
    for item in items:
        content = contents.of(item.file)
        try:
            if isinstance(content, bytes):
                _place_one(Path(item.target), item.file, content)
                there.append(item)
                continue
        except OSError:
            pass
        left.append(item)
    return there, left


def _place_one(target: Path, file: RemoteFile, content: bytes) -> None:
    """Write a small file under another name and rename it: its name appears with all of the content, or not at all.

    Small files are not resumed, so a failure leaves nothing behind. A killed process leaves a file that is named like an
    unfinished download; the next download of that name removes it.
    """
    start = leftovers.prefix(target.name)
    part = target.with_name(leftovers.private_name(start, file.xet_hash or ""))
    try:
        descriptor = leftovers.open_part(part, new=True)
    except FileNotFoundError:
        leftovers.check_names(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor = leftovers.open_part(part, new=True)
    if descriptor is None:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(part))
    try:
        # Lock it, so that another download of this name that finishes meanwhile does not remove it.
        if not lock_descriptor(descriptor):
            raise BlockingIOError(errno.EWOULDBLOCK, os.strerror(errno.EWOULDBLOCK), str(part))
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]
    except BaseException:
        with closing(descriptor):
            remove(part, missing_ok=True)
        raise
    with closing(descriptor):
        try:
            replace(part, target)
        except BaseException:
            remove(part, missing_ok=True)
            raise
    leftovers.remove(target.parent, start)
