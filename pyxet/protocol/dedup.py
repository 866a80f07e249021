"""Finds chunks that are stored already, and assembles the terms of files (Xet specification, ``deduplication.md``).

A chunk's place is a xorb and an index. Xorbs that are still being filled have no hash yet, so places name xorbs by a
number that the session gives them; `Places.seal` assigns the hash to the number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from pyxet.protocol.hashing import FileHasher, Hash, keyed_chunk_hash, term_hash
from pyxet.protocol.shard import FileEntry, Shard, Term

# Runs of known chunks shorter than this are stored again if the last `_RECENT_TERMS` terms of a file are shorter on average.
MIN_AVERAGE_RUN: Final = 8
_RECENT_TERMS: Final = 32


class Place(NamedTuple):
    """Where a chunk is: the session's number of a xorb, and the index of the chunk in it."""

    xorb: int
    chunk: int


class Places:
    """Known chunks of one upload session: its own, and those of shards that answered chunk queries."""

    def __init__(self) -> None:
        self._own: dict[Hash, Place] = {}
        self._keyed: dict[bytes, dict[Hash, Place]] = {}
        # Chunks that are known to be under none of the keys. A chunk is looked up several times before it is stored, and
        # each look-up computes a hash for every key. Each answer of the endpoint may add a key.
        self._missed: set[Hash] = set()
        self._hashes: dict[int, Hash] = {}
        self._numbers: dict[Hash, int] = {}
        self._next = 0

    def open_xorb(self) -> int:
        """The number of a new xorb."""
        self._next += 1
        return self._next

    def add(self, value: Hash, place: Place) -> None:
        """Remember a chunk of this session.

        A chunk that is stored again replaces its earlier place: its neighbours were stored again along with it, so the
        new place continues into longer runs.
        """
        self._own[value] = place
        self._missed.discard(value)

    def seal(self, number: int, value: Hash) -> None:
        """Set the hash of a finished xorb."""
        self._hashes[number] = value

    def hash_of(self, number: int) -> Hash:
        """The hash of a sealed xorb; `KeyError` if it is still open."""
        return self._hashes[number]

    def add_shard(self, shard: Shard) -> None:
        """Remember the chunks of a shard that answered a query, under its key."""
        self._missed.clear()
        known = self._keyed.setdefault(shard.footer.key if shard.footer else bytes(32), {})
        for xorb in shard.xorbs:
            number = self._numbers.get(xorb.xorb_hash)
            if number is None:
                number = self._numbers[xorb.xorb_hash] = self.open_xorb()
                self._hashes[number] = xorb.xorb_hash
            for index, chunk in enumerate(xorb.chunks):
                known.setdefault(chunk.hash, Place(number, index))

    def forget(self) -> None:
        """Forget the places of all chunks, but keep the numbers of xorbs: bounds the memory of very long content."""
        self._own.clear()
        self._keyed.clear()
        self._missed.clear()

    def find(self, value: Hash) -> Place | None:
        """The place of a chunk; ``None`` if that is not known."""
        place = self._own.get(value)
        if place is not None or value in self._missed:
            return place
        for key, known in self._keyed.items():
            place = known.get(keyed_chunk_hash(key, value))
            if place is not None:
                self._own[value] = place
                return place
        self._missed.add(value)
        return None

    def find_run(self, values: Sequence[Hash], start: int) -> list[Place]:
        """The longest run from ``values[start]`` whose chunks follow each other in one known xorb."""
        run: list[Place] = []
        for index in range(start, len(values)):
            place = self.find(values[index])
            if place is None or (run and place != (run[-1].xorb, run[-1].chunk + 1)):
                break
            run.append(place)
        return run


@dataclass(slots=True)
class _Run:
    xorb: int
    start: int
    end: int
    length: int
    hashes: list[Hash]
    verification: Hash = b""

    def close(self) -> Hash:
        """Compute the verification hash, and drop the hashes of the chunks, of which large files have very many."""
        if not self.verification:
            self.verification = term_hash(self.hashes)
            self.hashes = []
        return self.verification


class FileAssembler:
    """Collects a file's chunks in order, and turns them into the entry of a shard.

    Attributes
    ----------
    size:
        Bytes so far.
    stored:
        Bytes that were put into xorbs for the file. Callers count them.
    deduplicated:
        Bytes of the file's content that were stored already. Callers count them.
    """

    def __init__(self) -> None:
        self._runs: list[_Run] = []
        self._hasher = FileHasher()
        # The hash of what was added so far. It is needed twice: when the file is complete and when it is registered.
        self._file_hash: Hash | None = None
        self.size = 0
        self.stored = 0
        self.deduplicated = 0

    def add(self, value: Hash, length: int, place: Place) -> None:
        """Add the next chunk: its hash, raw length in bytes, and place."""
        self._hasher.update([(value, length)])
        self._file_hash = None
        self.size += length
        last = self._runs[-1] if self._runs else None
        if last and last.xorb == place.xorb and last.end == place.chunk:
            last.end += 1
            last.length += length
            last.hashes.append(value)
            return
        if last:
            last.close()
        self._runs.append(_Run(place.xorb, place.chunk, place.chunk + 1, length, [value]))

    def takes(self, run: Sequence[Place]) -> bool:
        """Whether a run of known chunks should be referred to, rather than stored again to keep the file in one piece.

        (``deduplication.md``, fragmentation prevention.) A long run always is, and so is a run that continues the last term. A
        short run is referred to while the file has few terms, or while its most recent terms are long enough on average.
        The average of the whole file would not do: a long unfragmented beginning would allow thousands of fragments later.
        """
        if len(run) >= MIN_AVERAGE_RUN or len(self._runs) < _RECENT_TERMS:
            return True
        last = self._runs[-1]
        if (last.xorb, last.end) == run[0]:
            return True
        recent = self._runs[-_RECENT_TERMS:]
        return sum(item.end - item.start for item in recent) >= MIN_AVERAGE_RUN * len(recent)

    @property
    def terms(self) -> int:
        """Number of terms so far."""
        return len(self._runs)

    def file_hash(self) -> Hash:
        """The Xet hash of what was added."""
        if self._file_hash is None:
            self._file_hash = self._hasher.digest()
        return self._file_hash

    def entry(self, places: Places, sha256: str | None) -> FileEntry:
        """The file's entry for a shard, once all its xorbs are sealed."""
        terms = tuple(Term(places.hash_of(run.xorb), run.start, run.end, run.length) for run in self._runs)
        return FileEntry(self.file_hash(), terms, tuple(run.close() for run in self._runs), sha256)
