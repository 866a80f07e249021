"""Reading content: plan → fetch → decode → in order, verified.

A file is read in windows. Each window has its own plan, so that the memory in flight is bounded whatever the size of the
file, and windows of one or several files are read at the same time. A chunk that crosses the end of a window belongs to
the window it starts in; the next window drops it.

A whole file that is read in one go is verified, and so are pieces that share a `Verifier` and together are the whole
file. For other ranges only headers and lengths are checked, as the protocol has no hash to compare them with.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from typing import Final
from urllib.parse import urlsplit

from pyxet._async.download.fetching import fetch_chunks
from pyxet._async.download.in_memory import Target
from pyxet._async.download.plans_ahead import plans_ahead
from pyxet._async.download.source import Source
from pyxet._async.download.verifier import DamagedContentError, HashMismatchError, Verifier
from pyxet._async.download.windows import WINDOW, FileChunk, Lease, cut
from pyxet._async.endpoint.cas import Cas, UrlExpiredError
from pyxet._async.http.messages import is_transient
from pyxet._async.runtime.budget import READ_MEMORY
from pyxet._async.runtime.tasks import ordered_window, run_all, run_each
from pyxet._async.runtime.threads import in_thread, to_end
from pyxet.errors import (
    AccessDeniedError,
    ConnectionFailedError,
    EntryNotFoundError,
    FormatError,
    IntegrityError,
    NotFoundError,
    RangeNotSatisfiableError,
    RequestTimeoutError,
    XetError,
)
from pyxet.protocol.constants import MIB
from pyxet.protocol.decoding import Room
from pyxet.protocol.hashing import Buffer, FileHasher, Hash, chunk_hash, hash_from_hex, hash_to_hex
from pyxet.protocol.kernels import joined
from pyxet.protocol.reconstruction import CoalescedRange, FetchRange, Plan, coalesce_ranges, most_decoded
from pyxet.types import RemoteFile

# Windows of one file that are being read or waiting to be used. More would take more memory and not be faster.
# `Limits.memory` bounds the windows of all files together.
_WINDOWS_AT_ONCE: Final = 3
# The same if a round trip takes more than `_FAR` seconds: connections then need longer to reach full speed, and windows
# that have arrived wait for the slowest.
_WINDOWS_AFAR: Final = 6
_FAR: Final = 0.03
# Ranges of up to this many bytes are joined on the event loop.
_SHORT: Final = 2 * MIB
# How many plans are tried for one window if their URLs are refused.
_MAX_PLANS: Final = 3
# After these failures, another plan is only tried if it names other hosts or paths.
_UNREACHABLE: Final = (ConnectionFailedError, RequestTimeoutError)
# Requests in flight for the ranges of one file; the process-wide limit lies above it.
_RANGES_AT_ONCE: Final = 16
# Bytes of the pieces in which a file that is not in Xet is verified. They begin at multiples of this size.
_PLAIN_PIECE: Final = 64 * 1024


class Downloader:
    """Reads files of one client."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._memory = source.limits.memory // 2

    async def read(
        self, file: RemoteFile, start: int = 0, end: int | None = None, verifier: Verifier | None = None
    ) -> bytes:
        """Bytes ``start`` to before ``end``.

        Parameters
        ----------
        verifier:
            Verifies a file that is read in pieces. Without one, a whole file is verified here, and read a second time
            before an error is raised.

        Raises
        ------
        IntegrityError
            The content does not have the file's hash or length.
        """
        end = file.size if end is None else min(end, file.size)
        if verifier is None and (start, end) == (0, file.size):
            try:
                return await self._read(file, start, end, Verifier(file))
            except HashMismatchError:
                # Its plans were invalidated. Content that was damaged in transit may arrive intact the next time.
                verifier = Verifier(file)
        return await self._read(file, start, end, verifier)

    async def _read(self, file: RemoteFile, start: int, end: int, verifier: Verifier | None) -> bytes:
        if _is_at_once(file, start, end):
            return b"".join(await self._at_once(file, start, end, verifier))
        if end - start <= _SHORT:
            async with aclosing(self.stream(file, start, end, verifier)) as pieces:
                return b"".join([piece async for piece in pieces])
        target = Target(file.full_path, start, end)
        try:
            if file.xet_hash is None:
                async with aclosing(self.stream(file, start, end, verifier)) as pieces:
                    async for piece in pieces:
                        await to_end(target.append, [piece])
            else:
                with self.invalidating_damage(file):
                    async with aclosing(self.chunks(file, start, end, verify=verifier is not None)) as runs:
                        async for run in runs:
                            await to_end(target.take, run, verifier)
            return target.whole()
        finally:
            target.close()

    async def pieces(
        self, file: RemoteFile, start: int, end: int, verifier: Verifier | None = None
    ) -> list[Buffer]:  # fmt: skip
        """Bytes ``start`` to before ``end`` in pieces, without copying them into one. See `stream`."""
        if _is_at_once(file, start, end):
            return await self._at_once(file, start, end, verifier)
        async with aclosing(self.stream(file, start, end, verifier)) as pieces:
            return [piece async for piece in pieces]

    async def plan(self, file: RemoteFile, start: int, end: int) -> None:
        """Request and cache the plans for bytes ``start`` to before ``end``, so that a later read does not wait for them."""
        if file.xet_hash is not None:
            cas = self._source.cas(file.repo)
            for span in _spans(start, end):
                await cas.reconstruction(hash_from_hex(file.xet_hash), *span)

    async def _at_once(self, file: RemoteFile, start: int, end: int, verifier: Verifier | None) -> list[Buffer]:
        """Read a short range that lies in one window: like `stream`, but without the cost of ordering windows."""
        if verifier is None and (start, end) == (0, file.size):
            verifier = Verifier(file)
        value, cas = self._content_of(file)
        lease: Lease | None = None
        try:
            lease = await self._lease(cas, file, value, start, end, verifier is not None)
            lease.take()
            fresh, _ = _in_order(file, lease.chunks, start, start, end, end)
            if verifier is not None:
                verifier.add(fresh)
            return cut(fresh, start, end)
        except (IntegrityError, FormatError):
            cas.invalidate_plans(value)
            raise
        finally:
            if lease is not None:
                lease.release()

    def _content_of(self, file: RemoteFile) -> tuple[Hash, Cas]:
        """The hash of a file in Xet storage, and the CAS that stores it."""
        assert file.xet_hash is not None
        cas = self._source.cas(file.repo)
        cas.note_revision(file.revision)
        return hash_from_hex(file.xet_hash), cas

    async def _lease(self, cas: Cas, file: RemoteFile, value: Hash, start: int, end: int, verify: bool) -> Lease:
        return await self._source.windows.get(
            (file.repo, value, verify),
            start,
            end,
            lambda begin, last: self._window(cas, value, begin, last, verify),
            self._memory,
        )

    async def read_ranges(
        self, file: RemoteFile, ranges: Sequence[tuple[int, int]], *, max_gap: int
    ) -> list[bytes | Exception]:
        """Byte ranges (start, end) of one file; ranges less than ``max_gap`` bytes apart are read as one.

        If the ranges together are the whole file, it is verified; if it is damaged, the error is the result of each range.
        """
        merged = coalesce_ranges(ranges, max_gap=max_gap, max_size=WINDOW)
        verifier = Verifier(file) if len(merged) > 1 and _covers(merged, file.size) else None

        async def read(item: CoalescedRange) -> bytes:
            return await self.read(file, item.start, item.end, verifier)

        contents = await run_each(read, merged, limit=_RANGES_AT_ONCE)
        damage = next((item for item in contents if isinstance(item, IntegrityError)), None)
        if verifier is not None and damage is not None:
            contents = [damage] * len(contents)
        results: list[bytes | Exception] = [b""] * len(ranges)
        for item, content in zip(merged, contents, strict=True):
            for member in item.members:
                start, end = ranges[member]
                if isinstance(content, Exception) or (start, end) == (item.start, item.end):
                    results[member] = content
                else:
                    results[member] = content[start - item.start : end - item.start]
        return results

    async def stream(
        self, file: RemoteFile, start: int = 0, end: int | None = None, verifier: Verifier | None = None
    ) -> AsyncGenerator[Buffer, None]:
        """Bytes ``start`` to before ``end`` in order, in pieces; a whole file is verified at its end.

        Between two pieces the consumer may do what it likes, other requests and reads included.

        Parameters
        ----------
        verifier:
            Verifies a file that is read in several ranges.
        """
        end = file.size if end is None else min(end, file.size)
        if start >= end:
            return
        if verifier is None and (start, end) == (0, file.size):
            verifier = Verifier(file)
        if file.xet_hash is None:
            async with aclosing(self._plain(file, start, end, verifier)) as plain:
                async for data in plain:
                    yield data
            return
        with self.invalidating_damage(file):
            async with aclosing(self.chunks(file, start, end, verify=verifier is not None, lend=True)) as runs:
                async for run in runs:
                    if verifier is not None:
                        verifier.add(run)
                    for chunk in run:
                        yield chunk.cut(start, end)

    @contextmanager
    def invalidating_damage(self, file: RemoteFile) -> Iterator[None]:
        """If the block raises because content was damaged, make sure that the file's plans are not used again."""
        try:
            yield
        except (IntegrityError, FormatError):
            if file.xet_hash is not None:
                self._source.cas(file.repo).invalidate_plans(hash_from_hex(file.xet_hash))
            raise

    async def chunks(
        self, file: RemoteFile, start: int, end: int, *, verify: bool, lend: bool = False
    ) -> AsyncGenerator[list[FileChunk], None]:
        """Whole chunks that overlap a range of a Xet file, in order, a list for each window.

        Parameters
        ----------
        verify:
            Whether to compute the hash of each chunk.
        lend:
            Whether the consumer may keep a list for any length of time. If so, a list no longer counts as in flight once
            it is handed out, and windows are read ahead only in half of the memory. Otherwise idle consumers would keep
            others from reading.

        Raises
        ------
        IntegrityError
            The chunks that came leave a gap in the range, overlap, or end early.
        """
        value, cas = self._content_of(file)
        room = self._memory // 2 if lend else self._memory

        async def window(span: tuple[int, int]) -> Lease:
            plans.begin()
            return await self._lease(cas, file, value, *span, verify)

        position = start
        async with (
            plans_ahead(cas, value, _spans(start, end)) as plans,
            ordered_window(
                _spans(start, end),
                window,
                limit=lambda: _WINDOWS_AFAR if cas.round_trip > _FAR else _WINDOWS_AT_ONCE,
                on_discard=Lease.release,
                ahead=lambda span: READ_MEMORY.has_room(span[1] - span[0], room),
            ) as results,
        ):
            spans = _spans(start, end)
            async for lease in results:
                _, reach = next(spans)
                try:
                    lease.take()
                    fresh, position = _in_order(file, lease.chunks, position, start, reach, end)
                    if lend:
                        lease.release()
                    if fresh:
                        yield fresh
                finally:
                    lease.release()

    async def _window(self, cas: Cas, value: Hash, start: int, end: int, verify: bool) -> list[FileChunk]:
        """The chunks of a window. If a plan fails, another plan is requested and tried."""
        failed: Plan | None = None
        failure: XetError | None = None
        for attempt in range(_MAX_PLANS):
            try:
                plan = await cas.reconstruction(value, start, end)
            except FormatError:
                if attempt == _MAX_PLANS - 1 or isinstance(failure, FormatError):
                    raise
                failure = FormatError("the reconstruction plan is not valid")
                continue
            except (NotFoundError, RangeNotSatisfiableError) as error:
                raise _unreadable(value, error) from error
            if isinstance(failure, _UNREACHABLE) and failed is not None and _places(plan) == _places(failed):
                raise failure
            try:
                if (planned := plan.raw_length - plan.skip) < end - start:
                    raise IntegrityError(
                        f"content {hash_to_hex(value)} is shorter than its repository says: {planned:,} of the "
                        f"{end - start:,} bytes at {start:,} are in its reconstruction plan"
                    )
                plan.check_length(end - start)
                return await self._execute(cas, plan, start, end - start, verify)
            except XetError as error:
                cas.invalidate_plan(value, start, end, plan)
                # A URL may expire more than once, so expired ones are tried again more often than other failures.
                last = _MAX_PLANS - 1 if isinstance(error, UrlExpiredError) else 1
                if attempt >= last or (is_transient(error) and not isinstance(error, _UNREACHABLE)):
                    raise _unreadable(value, error) from error
                failed, failure = plan, error
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _execute(self, cas: Cas, plan: Plan, start: int, length: int, verify: bool) -> list[FileChunk]:
        room = Room(most_decoded(length))

        async def read(fetch: FetchRange) -> list[tuple[Buffer, Hash]]:
            return await fetch_chunks(cas, fetch, room, verify)

        if len(plan.terms) == 1:
            runs = [await read(plan.terms[0].fetch)]
        else:
            fetches = list(dict.fromkeys(part.fetch for part in plan.terms))
            decoded = dict(zip(fetches, await run_all(read, fetches, limit=_RANGES_AT_ONCE), strict=True))
            runs = [decoded[part.fetch] for part in plan.terms]
        chunks: list[FileChunk] = []
        offset = start - plan.skip
        for part, found in zip(plan.terms, runs, strict=True):
            first = part.term.chunk_start - part.fetch.chunk_start
            run = found[first : first + part.term.chunk_end - part.term.chunk_start]
            if sum(len(data) for data, _ in run) != part.term.raw_length:
                raise FormatError(f"xorb {hash_to_hex(part.term.xorb_hash)}: its chunks do not have the term's length")
            for data, digest in run:
                chunks.append(FileChunk(offset, data, digest))
                offset += len(data)
        return chunks

    async def _plain(
        self, file: RemoteFile, start: int, end: int, verifier: Verifier | None
    ) -> AsyncGenerator[Buffer, None]:  # fmt: skip
        """Read a file that is not in Xet over plain HTTP, in windows, so that no request is open during a ``yield``."""

        async def window(span: tuple[int, int]) -> tuple[int, bytes, int]:
            amount = span[1] - span[0]
            await READ_MEMORY.acquire(amount, self._memory)
            try:
                async with aclosing(self._source.hub.read_file(file, *span)) as pieces:
                    found = [piece async for piece in pieces]
                return span[0], await in_thread(joined, found), amount
            except RangeNotSatisfiableError as error:
                READ_MEMORY.release(amount)
                raise IntegrityError(f"{file.full_path} is shorter than its repository says") from error
            except BaseException:
                READ_MEMORY.release(amount)
                raise

        first, last = start, end
        if verifier is not None:
            first, last = start // _PLAIN_PIECE * _PLAIN_PIECE, min(file.size, -(-end // _PLAIN_PIECE) * _PLAIN_PIECE)
        async with ordered_window(
            _spans(first, last),
            window,
            limit=_WINDOWS_AT_ONCE,
            on_discard=lambda result: READ_MEMORY.release(result[2]),
            ahead=lambda span: READ_MEMORY.has_room(span[1] - span[0], self._memory // 2),
        ) as results:
            async for offset, data, amount in results:
                try:
                    if verifier is not None:
                        await in_thread(_note_plain, verifier, offset, data)
                finally:
                    READ_MEMORY.release(amount)
                yield FileChunk(offset, data, b"").cut(start, end)


def _is_at_once(file: RemoteFile, start: int, end: int) -> bool:
    """Whether a range is short and lies in one window of a file that is in Xet."""
    return file.xet_hash is not None and 0 < end - start <= _SHORT and start // WINDOW == (end - 1) // WINDOW


def _in_order(
    file: RemoteFile, chunks: Sequence[FileChunk], position: int, start: int, reach: int, end: int
) -> tuple[list[FileChunk], int]:
    """The chunks of a window that come next in a range, and where the last of them ends.

    Parameters
    ----------
    position:
        Where the previous chunks ended; ``start`` at the beginning.
    reach:
        Where the window ends.

    Raises
    ------
    IntegrityError
        The chunks leave a gap, end too early, or extend past the end of the file.
    """
    # The property `end` is not used: this runs for every chunk, and a call would cost too much.
    fresh = [chunk for chunk in chunks if chunk.offset + len(chunk.data) > position and chunk.offset < end]
    for number, chunk in enumerate(fresh):
        if chunk.offset != position and (number or position != start or chunk.offset > start):
            raise IntegrityError(f"{file.full_path}: the plan leaves a gap at byte {position:,}")
        position = chunk.offset + len(chunk.data)
    # Raised at once, not at the end: the endpoint may claim any length for the rest of the file.
    if position < reach or (end == file.size and position > end):
        raise IntegrityError(f"{file.full_path}: {position:,} bytes came, {end:,} were expected")
    return fresh, position


def _spans(start: int, end: int) -> Iterator[tuple[int, int]]:
    """Split a range into windows. They begin at multiples of their size, so that readers of one file can share them."""
    # An iterator, not a list: an endpoint may claim that a file has any number of bytes.
    return itertools.pairwise(itertools.chain([start], range((start // WINDOW + 1) * WINDOW, end, WINDOW), [end]))


def _places(plan: Plan) -> set[tuple[str, str]]:
    """The hosts and paths of a plan's URLs. The rest of each URL is its signature."""
    return {(url.netloc, url.path) for url in (urlsplit(part.fetch.url.reveal()) for part in plan.terms)}


def _unreadable(value: Hash, error: XetError) -> XetError:
    """The error to raise if content cannot be fetched or is not what was announced."""
    name = hash_to_hex(value)
    if isinstance(error, UrlExpiredError):
        return AccessDeniedError(f"reading content {name}: {error}", status=403)
    if isinstance(error, RangeNotSatisfiableError):
        return IntegrityError(f"content {name} is shorter than its repository says")
    # The repository names this content, so the path exists: missing content is damage, not a missing file.
    if type(error) in (NotFoundError, EntryNotFoundError):
        return IntegrityError(f"content {name} is not stored: {error}")
    return DamagedContentError(f"content {name} is damaged: {error}") if isinstance(error, FormatError) else error


def _covers(merged: Sequence[CoalescedRange], size: int) -> bool:
    """Whether sorted ranges together cover a whole file."""
    at = 0
    for item in merged:
        if item.start > at:
            return False
        at = max(at, item.end)
    return at >= size


def _note_plain(verifier: Verifier, offset: int, data: bytes) -> None:
    """Show a window of a file that is not in Xet to its verifier, in pieces."""
    view = memoryview(data)
    verifier.add(
        FileChunk(offset + at, piece, chunk_hash(piece))
        for at in range(0, len(data), _PLAIN_PIECE)
        for piece in (view[at : at + _PLAIN_PIECE],)
    )


def check_hash(file: RemoteFile, hasher: FileHasher) -> None:
    """Compare what was read with the file's Xet hash."""
    found = hash_to_hex(hasher.digest())
    if found != file.xet_hash:
        raise HashMismatchError(f"{file.full_path}: the content's Xet hash is {found}, not {file.xet_hash}")
