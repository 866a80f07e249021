"""The state of the lean server: repositories, prepared content and uploads. All but the content itself is in memory."""

from __future__ import annotations

import hashlib
import io
import os
import time
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

from prepare import Manifest, StoredChunk, StoredFile, load

from pyxet.protocol.hashing import Hash, hash_from_hex
from pyxet.protocol.reconstruction import fetch_runs
from pyxet.protocol.shard import Footer, ShardChunk, Term, XorbEntry, write_dedup_shard


@dataclass
class Xorb:
    """A xorb on disk; ``raw`` and ``ends`` are where its chunks end in the content and in the file."""

    file: io.FileIO
    size: int
    raw: list[int]
    ends: list[int]

    def raw_start(self, chunk: int) -> int:
        """Where a chunk starts in the raw content."""
        return self.raw[chunk - 1] if chunk else 0

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where a run of chunks starts and ends in the file, as offsets in bytes."""
        return (self.ends[start - 1] if start else 0), self.ends[end - 1]


@dataclass(frozen=True)
class Item:
    """A file of a repository; ``stored`` is `None` if it is known only from a commit."""

    size: int
    sha256: str
    stored: StoredFile | None = None


@dataclass
class Repository:
    """The files of the one branch, in the order of their paths, and the commit it is at."""

    files: dict[str, Item] = field(default_factory=dict)
    commit: str = hashlib.sha1(b"start").hexdigest()

    def advance(self) -> str:
        """Move to the next commit and return its id."""
        self.commit = hashlib.sha1(self.commit.encode()).hexdigest()
        return self.commit


class Store:
    """All state, which is set up again for each run."""

    def __init__(self) -> None:
        self.repos: dict[str, Repository] = {}
        self.shards: list[bytes] = []
        self._xorbs: dict[str, Xorb] = {}
        self._files: dict[str, tuple[list[Term], list[int]]] = {}
        self._manifests: dict[str, Manifest] = {}
        self._answers: dict[str, bytes] = {}
        self._known: dict[Hash, bytes] = {}

    def set_up(self, wanted: dict[str, Any]) -> None:
        """Forget uploads; have just these repositories (name to manifests), and know chunks of some manifests."""
        self.shards = []
        self.repos = {}
        for name, manifests in wanted.get("repos", {}).items():
            files = {file.path: file for manifest in manifests for file in self._manifest(manifest).files}
            items = {path: Item(file.size, file.sha256, file) for path, file in sorted(files.items())}
            self.repos[name] = Repository(items)
        self._known = {}
        for manifest in wanted.get("known", []):
            answer = self._answer(manifest)
            self._known |= {
                chunk.hash: answer for chunks in self._manifest(manifest).xorbs.values() for chunk in chunks
            }

    def known(self, chunk: Hash) -> bytes | None:
        """The shard that answers a chunk query."""
        return self._known.get(chunk)

    def xorb(self, name: str) -> Xorb | None:
        """A xorb on disk."""
        return self._xorbs.get(name)

    def size(self, file_hash: str) -> int | None:
        """Bytes of a file."""
        found = self._files.get(file_hash)
        return sum(term.raw_length for term in found[0]) if found else None

    def terms(self, file_hash: str) -> list[Term] | None:
        """The terms of a whole file."""
        found = self._files.get(file_hash)
        return found[0] if found else None

    def plan(
        self, file_hash: str, start: int, end: int
    ) -> tuple[int, list[Term], dict[Hash, list[tuple[int, int]]]]:  # fmt: skip
        """Bytes to skip, terms trimmed to the chunks that overlap the range, and the runs of chunks to fetch."""
        terms, starts = self._files[file_hash]
        skip = 0
        trimmed: list[Term] = []
        for index in range(bisect_right(starts, start) - 1, bisect_left(starts, end)):
            term, at = terms[index], starts[index]
            xorb = self._xorbs[_names[term.xorb_hash]]
            base = xorb.raw_start(term.chunk_start)
            first, last = term.chunk_start, term.chunk_end
            if start > at:
                first = bisect_right(xorb.raw, start - at + base)
                skip = start - at + base - xorb.raw_start(first)
            if end < at + term.raw_length:
                last = bisect_left(xorb.raw, end - at + base) + 1
            length = xorb.raw_start(last) - xorb.raw_start(first)
            trimmed.append(Term(term.xorb_hash, first, last, length))
        return skip, trimmed, fetch_runs(trimmed)

    def _manifest(self, name: str) -> Manifest:
        manifest = self._manifests.get(name)
        if manifest is not None:
            return manifest
        manifest = self._manifests[name] = load(Path(name))
        for xorb, chunks in manifest.xorbs.items():
            self._xorbs[xorb] = _open(Path(name).parent / "xorbs" / xorb, chunks)
        for file in manifest.files:
            terms = [Term(_value(term.xorb), term.start, term.end, term.length) for term in file.terms]
            starts = [0, *accumulate(term.raw_length for term in terms)][:-1]
            self._files[file.file_hash] = (terms, starts)
        return manifest

    def _answer(self, name: str) -> bytes:
        """A shard with all xorbs of a manifest, whose hashes are keyed as in the endpoint's answers to chunk queries."""
        if name not in self._answers:
            entries = [
                XorbEntry(_value(xorb), tuple(ShardChunk(item.hash, item.length) for item in chunks), chunks[-1].end)
                for xorb, chunks in self._manifest(name).xorbs.items()
            ]
            now = int(time.time())
            self._answers[name] = write_dedup_shard(entries, Footer(os.urandom(32), now, now + 24 * 3600))
        return self._answers[name]


_names: dict[Hash, str] = {}


def _value(name: str) -> Hash:
    value = hash_from_hex(name)
    _names[value] = name
    return value


def _open(path: Path, chunks: list[StoredChunk]) -> Xorb:
    raw = list(accumulate(chunk.length for chunk in chunks))
    return Xorb(io.FileIO(path), chunks[-1].end, raw, [chunk.end for chunk in chunks])
