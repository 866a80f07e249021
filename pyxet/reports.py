"""What transactions and ingest tell of what they did."""

from __future__ import annotations

from dataclasses import dataclass

from pyxet._shown import human_size, parts_bar, table
from pyxet.types import Commit

# Colours of bars: what was saved, and what was not.
_SAVED, _SENT = "#55a868", "#4c72b0"


@dataclass(frozen=True, slots=True)
class Totals:
    """What a transaction holds, or held when it ended.

    Attributes
    ----------
    written, deleted:
        Files; after the commit only those that it changed.
    content:
        Bytes of the content that was uploaded. What goes inside the commit, as small text files do, is not in it, nor
        is what was copied inside a repository.
    deduplicated:
        Bytes of it that were stored already, by an upload that was interrupted as well, or twice in it.
    sent:
        Bytes that were sent for the rest, compressed.
    """

    written: int = 0
    deleted: int = 0
    content: int = 0
    deduplicated: int = 0
    sent: int = 0

    def __add__(self, other: Totals) -> Totals:
        return Totals(
            self.written + other.written, self.deleted + other.deleted, self.content + other.content,
            self.deduplicated + other.deduplicated, self.sent + other.sent,
        )  # fmt: skip

    def _repr_html_(self) -> str:
        rows = [
            ("files written", self.written), ("files deleted", self.deleted), ("content", human_size(self.content)),
            ("sent", human_size(self.sent)),
        ]  # fmt: skip
        new = self.content - self.deduplicated
        return table((), rows, right=[1]) + parts_bar(
            [("stored already", self.deduplicated, _SAVED), ("new", new, _SENT)]
        )


@dataclass(frozen=True, slots=True)
class IngestFailure:
    """A file that `pyxet.ingest` could not copy.

    Attributes
    ----------
    path:
        Its path below the folder that was to be copied.
    error:
        Type and message of what kept it from being read.
    """

    path: str
    error: str


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What `pyxet.ingest` did.

    Attributes
    ----------
    files, bytes:
        What of the source is stored: all of it but the failures.
    resumed_files, resumed_bytes:
        What of that an earlier run had stored.
    stored_bytes:
        Bytes that this run had to store, compressed; what the endpoint had already is not among them.
    failed:
        Number of files that could not be copied.
    failures:
        The first thousand of them.
    commits:
        The commits that were made; none where the branch had it all just so, or in a transaction.
    journal:
        The file that says what is stored, from which another run would go on.
    """

    files: int
    bytes: int
    resumed_files: int
    resumed_bytes: int
    stored_bytes: int
    failed: int
    failures: tuple[IngestFailure, ...]
    commits: tuple[Commit, ...]
    journal: str

    @property
    def saved_bytes(self) -> int:
        """Bytes that this run did not have to store: known content, compression, and what an earlier run had done."""
        return max(0, self.bytes - self.stored_bytes)

    def _repr_html_(self) -> str:
        rows = [
            ("files", self.files), ("bytes", human_size(self.bytes)),
            ("of which an earlier run had stored", human_size(self.resumed_bytes)), ("failed", self.failed),
            *((f"commit {commit.id[:10]}", commit.title) for commit in self.commits),
        ]  # fmt: skip
        failed = table(("failed", "error"), [(failure.path, failure.error) for failure in self.failures])
        bar = parts_bar([("saved", self.saved_bytes, _SAVED), ("stored", self.bytes - self.saved_bytes, _SENT)])
        return table((), rows) + bar + (failed if self.failures else "")
