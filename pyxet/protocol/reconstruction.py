"""Reconstruction plans: which byte ranges of which xorbs make a file, or a part of it.

(Xet specification, ``file-reconstruction.md``, ``download-protocol.md`` and ``api.md``.) Inside the code every range ends
before its ``end``; on the wire byte ranges include it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from pyxet.errors import FormatError
from pyxet.protocol.cas_messages import (
    BatchReconstruction,
    ReconstructionV1,
    ReconstructionV2,
    WireFetchV1,
    WireRange,
    WireTerm,
)
from pyxet.protocol.constants import CHUNK_HEADER_SIZE, MAX_CHUNK, MAX_XORB_BYTES_READ, MAX_XORB_CHUNKS, MIB
from pyxet.protocol.hashing import Hash, hash_from_hex
from pyxet.protocol.shard import Term
from pyxet.protocol.xorb import MAX_PAYLOAD
from pyxet.secrets import Secret

# Minimum average size of the chunks of a plan in bytes. Chunks have at least 8 KiB, except for the last one of a file, but
# other clients may have cut files in other ways.
_LEAST_CHUNK: Final = 256


def most_decoded(length: int) -> int:
    """Maximum bytes of the fetches for a range, encoded or decoded. A plan may fetch some that its terms do not use."""
    return 2 * length + 2 * MIB


@dataclass(frozen=True, slots=True)
class FetchRange:
    """A signed URL for bytes ``byte_start`` to before ``byte_end`` of a serialized xorb.

    They are the chunks ``chunk_start`` to before ``chunk_end``.
    """

    url: Secret
    chunk_start: int
    chunk_end: int
    byte_start: int
    byte_end: int


@dataclass(frozen=True, slots=True)
class PlanTerm:
    """A term of a plan, and the fetch that holds its chunks."""

    term: Term
    fetch: FetchRange


@dataclass(frozen=True, slots=True)
class Plan:
    """How to get a byte range of a file.

    Attributes
    ----------
    skip:
        Bytes of the first term's content that come before the range.
    terms:
        In file order; several may share a fetch.
    """

    skip: int
    terms: tuple[PlanTerm, ...]

    @property
    def raw_length(self) -> int:
        """Bytes that the terms decode to, the skipped ones included."""
        return sum(part.term.raw_length for part in self.terms)

    def check_length(self, length: int) -> None:
        """Refuse a plan for much more than the requested ``length`` bytes, before anything is fetched.

        Raises
        ------
        FormatError
            The plan has more content than whole chunks at both ends explain, fetches more than `most_decoded`, or has far
            too many chunks.
        """
        raw = self.raw_length
        if raw > length + 2 * MAX_CHUNK:
            raise FormatError(f"reconstruction: a plan of {raw:,} bytes for a range of {length:,}")
        most = most_decoded(length)
        fetched = sum(fetch.byte_end - fetch.byte_start for fetch in {part.fetch for part in self.terms})
        chunks = sum(part.term.chunk_end - part.term.chunk_start for part in self.terms)
        if fetched > most or chunks > most // _LEAST_CHUNK:
            raise FormatError(
                f"reconstruction: a plan that fetches {fetched:,} bytes in {chunks:,} chunks for a range of {length:,}"
            )


def plan_from_v1(message: ReconstructionV1) -> Plan:
    """The plan of a v1 answer. Raises `FormatError` if it makes no sense."""
    fetches = {hash_from_hex(name): _Fetches(_fetches_v1(entries)) for name, entries in message.fetch_info.items()}
    return _plan(message.offset_into_first_range, message.terms, fetches)


def plan_from_v2(message: ReconstructionV2) -> Plan:
    """The plan of a v2 answer. Raises `FormatError` if it makes no sense."""
    fetches = {
        hash_from_hex(name): _Fetches(
            [_fetch(entry.url, part.chunks, part.bytes) for entry in entries for part in entry.ranges]
        )
        for name, entries in message.xorbs.items()
    }
    return _plan(message.offset_into_first_range, message.terms, fetches)


def plans_from_batch(message: BatchReconstruction) -> dict[Hash, Plan | FormatError]:
    """Plans of whole files from one answer, by file hash. Files of one upload may share fetches.

    If a part of the answer makes no sense, the result of the files that need it is the error; others are not affected.
    Files that the answer does not name are left out.

    Raises
    ------
    FormatError
        The name of a file or xorb is not a hash, so that the answer cannot be used.
    """
    fetches: dict[Hash, _Fetches] = {}
    broken: dict[Hash, FormatError] = {}
    for name, entries in message.fetch_info.items():
        value = hash_from_hex(name)
        try:
            fetches[value] = _Fetches(_fetches_v1(entries))
        except FormatError as error:
            broken[value] = error
    plans: dict[Hash, Plan | FormatError] = {}
    for name, terms in message.files.items():
        value = hash_from_hex(name)
        try:
            plans[value] = _plan(0, terms, fetches, broken)
        except FormatError as error:
            plans[value] = error
    return plans


def _fetches_v1(entries: Sequence[WireFetchV1]) -> list[FetchRange]:
    return [_fetch(entry.url, entry.range, entry.url_range) for entry in entries]


def _fetch(url: Secret, chunks: WireRange, span: WireRange) -> FetchRange:
    if not 0 <= chunks.start < chunks.end <= MAX_XORB_CHUNKS:
        raise FormatError(f"reconstruction: chunks {chunks.start:,} to {chunks.end:,} are not a range")
    if not 0 <= span.start <= span.end < MAX_XORB_BYTES_READ:
        raise FormatError(f"reconstruction: bytes {span.start:,} to {span.end:,} are not a range")
    size, count = span.end + 1 - span.start, chunks.end - chunks.start
    if not CHUNK_HEADER_SIZE * count < size <= (CHUNK_HEADER_SIZE + MAX_PAYLOAD) * count:
        raise FormatError(f"reconstruction: {count:,} chunks do not take {size:,} bytes")
    return FetchRange(url, chunks.start, chunks.end, span.start, span.end + 1)


class _Fetches:
    """The fetches of one xorb, to be searched for the one that holds a run of chunks."""

    def __init__(self, fetches: Sequence[FetchRange]) -> None:
        ordered = sorted(fetches, key=lambda fetch: fetch.chunk_start)
        self._starts = [fetch.chunk_start for fetch in ordered]
        # For each fetch, the one that reaches furthest of those up to it. If that does not hold a run, no fetch does.
        self._furthest: list[FetchRange] = []
        for fetch in ordered:
            if self._furthest and self._furthest[-1].chunk_end > fetch.chunk_end:
                fetch = self._furthest[-1]
            self._furthest.append(fetch)

    def find(self, start: int, end: int) -> FetchRange | None:
        index = bisect_right(self._starts, start) - 1
        if index < 0 or self._furthest[index].chunk_end < end:
            return None
        return self._furthest[index]


def _plan(
    skip: int,
    terms: Sequence[WireTerm],
    found: Mapping[Hash, _Fetches],
    broken: Mapping[Hash, FormatError] = MappingProxyType({}),
) -> Plan:
    parts = []
    for wire in terms:
        value = hash_from_hex(wire.hash)
        if value in broken:
            raise broken[value]
        start, end = wire.range.start, wire.range.end
        if not 0 <= start < end <= MAX_XORB_CHUNKS or not 0 < wire.unpacked_length <= (end - start) * MAX_CHUNK:
            raise FormatError(
                f"reconstruction: a term of {wire.unpacked_length:,} bytes from chunks {start:,} to {end:,} makes no sense"
            )
        fetch = found[value].find(start, end) if value in found else None
        if fetch is None:
            raise FormatError(f"reconstruction: no URL for chunks {start:,} to {end:,} of xorb {wire.hash}")
        parts.append(PlanTerm(Term(value, start, end, wire.unpacked_length), fetch))
    if skip < 0 or (parts and skip >= parts[0].term.raw_length) or (skip and not parts):
        raise FormatError(f"reconstruction: an offset of {skip:,} lies outside the first term")
    return Plan(skip, tuple(parts))


def trim_terms(
    terms: Sequence[Term],
    term_ends: Sequence[int],
    chunk_ends: Callable[[Hash], Sequence[int]],
    start: int,
    end: int,
) -> tuple[int, list[Term]]:
    """The part of a file's terms whose chunks overlap bytes ``start`` to before ``end``.

    Both ends are found by binary search, so that ranges of large files take no longer than those of small ones.

    Parameters
    ----------
    terms:
        All terms of the file.
    term_ends:
        The offset in the file at which each term ends.
    chunk_ends:
        Returns the offset of each chunk's end in the raw content of a xorb. It is called for the xorbs of the terms in which
        the range begins and ends.

    Returns
    -------
    tuple
        Bytes of the first trimmed term before ``start``, and the trimmed terms.
    """
    trimmed: list[Term] = []
    skip = 0
    for number in range(bisect_right(term_ends, start), len(terms)):
        term, term_end = terms[number], term_ends[number]
        term_start = term_end - term.raw_length
        if term_start >= end:
            break
        if start <= term_start and term_end <= end:
            trimmed.append(term)
            continue
        ends = chunk_ends(term.xorb_hash)
        # The difference between an offset in the raw content of the xorb and one in the file.
        shift = (ends[term.chunk_start - 1] if term.chunk_start else 0) - term_start
        first = bisect_right(ends, start + shift, term.chunk_start, term.chunk_end)
        last = min(bisect_left(ends, end + shift, first, term.chunk_end), term.chunk_end - 1)
        begin = ends[first - 1] if first else 0
        if not trimmed:
            skip = max(0, start + shift - begin)
        trimmed.append(Term(term.xorb_hash, first, last + 1, ends[last] - begin))
    return skip, trimmed


def fetch_runs(terms: Sequence[Term], *, max_raw: int | None = None) -> dict[Hash, list[tuple[int, int]]]:
    """Runs of chunks to fetch for some terms: those of one xorb that touch or overlap become one run.

    Parameters
    ----------
    max_raw:
        Maximum bytes of raw content of a run of several terms; no limit if ``None``.
    """
    runs: dict[Hash, list[tuple[int, int]]] = {}
    size = 0
    for term in sorted(terms, key=lambda term: (term.xorb_hash, term.chunk_start, -term.chunk_end)):
        value, start, end, length = term.xorb_hash, term.chunk_start, term.chunk_end, term.raw_length
        found = runs.setdefault(value, [])
        if found and end <= found[-1][1]:
            continue
        if found and start <= found[-1][1] and (max_raw is None or size + length <= max_raw):
            found[-1] = (found[-1][0], end)
            size += length
        else:
            found.append((start, end))
            size = length
    return runs


@dataclass(frozen=True, slots=True)
class CoalescedRange:
    """A byte range that covers several requested ranges, whose indices are ``members``."""

    start: int
    end: int
    members: tuple[int, ...]


def coalesce_ranges(
    ranges: Sequence[tuple[int, int]], *, max_gap: int, max_size: int
) -> list[CoalescedRange]:  # fmt: skip
    """Merge byte ranges of one file that lie near each other.

    Parameters
    ----------
    ranges:
        (start, end) in bytes, in any order; empty ones are left out.
    max_gap:
        Maximum gap in bytes between ranges that are merged.
    max_size:
        Maximum size of a merged range in bytes; a single longer one stays as it is.
    """
    merged: list[tuple[int, int, list[int]]] = []
    for index in sorted(range(len(ranges)), key=lambda index: ranges[index]):
        start, end = ranges[index]
        if start >= end:
            continue
        if merged:
            first, last, members = merged[-1]
            if start <= last + max_gap and (end <= last or end - first <= max_size):
                members.append(index)
                merged[-1] = (first, max(end, last), members)
                continue
        merged.append((start, end, [index]))
    return [CoalescedRange(start, end, tuple(members)) for start, end, members in merged]
