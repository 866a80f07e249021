"""Where chunks and terms end: what a plan for a range of a file searches, added up once and kept for the next ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from typing import Final

from pyxet.protocol.hashing import Hash
from pyxet.protocol.shard import FileEntry, Term
from pyxet.protocol.xorb import XorbInfo
from pyxet.server.kept import Kept

# Numbers that are kept of xorbs, 40 bytes each, and what a xorb takes beside its own, in such numbers.
_MOST_CHUNKS: Final = 256 * 1024
_EACH: Final = 8
# Terms that are kept with their ends, as the index does not keep all of them as long: 400 bytes each.
_MOST_TERMS: Final = 64 * 1024


class Layouts:
    """Ends of chunks in xorbs, and of terms in files.

    Parameters
    ----------
    stored:
        What a stored xorb holds.
    """

    def __init__(self, stored: Callable[[Hash], XorbInfo]) -> None:
        self._stored = stored
        self._xorbs: Kept[Hash, Sequence[int]] = Kept(_MOST_CHUNKS)
        # With the terms that they are of: the same content may be put together in another way later.
        self._files: Kept[Hash, tuple[tuple[Term, ...], Sequence[int]]] = Kept(_MOST_TERMS)

    def of_xorb(self, value: Hash) -> Sequence[int]:
        """Where each chunk of a xorb ends in the raw content of all of them; `BadRequestError` if it is not stored."""
        found = self._xorbs.get(value)
        if found is None:
            found = _ends(chunk.raw_length for chunk in self._stored(value).chunks)
            self._xorbs.put(value, found, len(found) + _EACH)
        return found

    def of_file(self, entry: FileEntry) -> Sequence[int]:
        """Where each term of a file ends in it."""
        found = self._files.get(entry.file_hash)
        if found is None or found[0] is not entry.terms:
            found = entry.terms, _ends(term.raw_length for term in entry.terms)
            self._files.put(entry.file_hash, found, len(entry.terms) + 1)
        return found[1]


def _ends(lengths: Iterable[int]) -> Sequence[int]:
    return list(accumulate(lengths))
