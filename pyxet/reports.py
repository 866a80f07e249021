"""The reports of transactions and ingests."""

from __future__ import annotations

from dataclasses import dataclass

from pyxet._shown import human_size, parts_bar, table
from pyxet.types import Commit

# Colours in bars for what was saved and for what was sent.
_SAVED, _SENT = "#55a868", "#4c72b0"


@dataclass(frozen=True, slots=True)
class Totals:
    """The totals of a transaction, now or at its end.

    Attributes
    ----------
    written, deleted:
        Number of files; after the commit only of those that it changed.
    content:
        Bytes of uploaded content. Content that goes inside the commit, such as small text files, is not counted, nor are
        copies within a repository.
    deduplicated:
        Bytes of this content that were stored already (also by an interrupted upload), or that occur in it repeatedly.
    sent:
        Bytes sent for the rest, compressed.
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
        Its path below the source folder.
    error:
        Type and message of the error.
    """

    path: str
    error: str


@dataclass(frozen=True, slots=True)
class IngestReport:
    """The result of `pyxet.ingest`.

    Attributes
    ----------
    files, bytes:
        Number and size of the source's files that are stored: all except the failures.
    resumed_files, resumed_bytes:
        The part of these that an earlier run had stored.
    stored_bytes:
        Bytes that this run had to store, compressed; content that the endpoint had already is not counted.
    failed:
        Number of files that could not be copied.
    failures:
        The first thousand of them.
    commits:
        The commits that were made; empty if the branch had all files already, and in a transaction.
    journal:
        The file that lists what is stored; another run would continue from it.
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
        """Bytes that this run did not have to store, due to known content, compression and earlier runs."""
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
