"""Pull requests in a git repository: references ``refs/pr/N`` beside the branches, what they change, and their merge.

A pull request exists once its record (`discussions`) is written, which is after its reference is made. A merge writes its
commit to the record before the branch moves; after a crash, whether the branch contains that commit tells if it was completed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, Final

import pygit2

from pyxet.errors import BadRequestError, ConflictError, NotFoundError, RevisionNotFoundError
from pyxet.server.discussions import Discussions, Record, check_comment, title_of
from pyxet.server.git_objects import author_of, message_of, signature, write_commit
from pyxet.server.git_repository import Repository

_REFERENCE = re.compile(r"refs/pr/([1-9][0-9]{0,8})\Z")
_ATTEMPTS: Final = 5
# The most commits of a pull request that are listed, and the most bytes of its diff.
_MAX_COMMITS: Final = 500
_MAX_DIFF: Final = 1024 * 1024


class UnmergeableError(ConflictError):
    """The base branch and the pull request changed the same lines, or the same binary files."""

    def __init__(self, message: str, files: list[str]) -> None:
        super().__init__(message, status=409)
        self.files = files


def number_of(revision: str) -> int | None:
    """The number in a reference ``refs/pr/N``; ``None`` for other revisions."""
    match = _REFERENCE.match(revision)
    return int(match[1]) if match else None


class Proposals:
    """The discussions and pull requests of one repository."""

    def __init__(self, repo: Repository) -> None:
        self._repo = repo
        self._git = repo.git
        self.records = Discussions(Path(repo.git.path))

    def open(
        self,
        title: str,
        description: str,
        user: str,
        *,
        base: str | None = None,
        status: str = "open",
        commit: Callable[[str], object] | None = None,
        start: str | None = None,
    ) -> int:
        """Begin a discussion, or a pull request.

        Parameters
        ----------
        title, description:
            The title; the text of the first comment.
        user:
            The user who opens it.
        base:
            The branch that the pull request is to change; ``None`` for a discussion.
        status:
            ``open`` or ``draft``.
        start:
            The commit that the pull request starts from; the commit of the branch if ``None``.
        commit:
            Called with the new reference to commit to it, before the pull request becomes visible.

        Returns
        -------
        int
            The number of the discussion or pull request.

        Raises
        ------
        RevisionNotFoundError
            There is no such branch or commit.
        BadRequestError
            The description is too long.
        """
        check_comment(description)
        record = Record(0, title_of(title), user, 0.0, status)
        first = record.comment(user, description)
        record.created = first.created
        if base is not None:
            begun = self._repo.head(base)
            if start is not None:
                begun = self._repo.resolve(start)
            record.base, record.start = base, str(begun.id)
        with self._repo.turn():
            # A crash may have left a reference without a record; its number is skipped.
            taken = [*self.records.numbers()[:1], *(int(name) for name in self._references() if name.isdigit())]
            record.num = max(taken, default=0) + 1
            if base is None:
                self.records.write(record)
                return record.num
            # From now on a concurrent `open` skips this number.
            reference = f"refs/pr/{record.num}"
            self._git.create_reference(reference, begun.id)
        try:
            if commit is not None:
                commit(reference)
            with self._repo.turn():
                self.records.write(record)
        except BaseException:
            with self._repo.turn(), suppress(KeyError):
                self._git.references.delete(reference)
            raise
        return record.num

    def references(self) -> dict[str, str]:
        """Numbers of pull requests, the newest first, and their commits."""
        found = self._references()
        return {str(number): found[str(number)] for number in self.records.numbers() if str(number) in found}

    def read(self, number: int) -> Record:
        """A record, after settling a merge that was interrupted; `NotFoundError` if there is none."""
        record = self.records.read(number)
        if record.merging is not None:
            with self._repo.turn():
                record = self._settled(number)
        return record

    def change(self, number: int, change: Callable[[Record], Any]) -> Any:
        """Call a function that changes a record, and store the record unless it raises; return its result."""
        with self._repo.turn():
            record = self._settled(number)
            result = change(record)
            self.records.write(record)
            return result

    def pull_request(self, number: int) -> Record:
        """The record of a pull request, as it was last written; `RevisionNotFoundError` if there is none."""
        record = None
        with suppress(NotFoundError):
            record = self.records.read(number)
        if record is None or not record.is_pull_request:
            raise RevisionNotFoundError(
                f"{self._repo.id} has no pull request {number}", status=404, code="RevisionNotFound"
            )
        return record

    def check_writable(self, number: int) -> None:
        """Raise `BadRequestError` if a pull request accepts no commits, `RevisionNotFoundError` if there is none."""
        record = self.pull_request(number)
        if record.status not in ("open", "draft"):
            raise BadRequestError(
                f"pull request {number} is {record.status}; commit to a branch, or open another pull request",
                status=400,
            )

    def has_open(self, user: str) -> bool:
        """Whether a user has a pull request in this repository that accepts commits."""
        return any(
            head.is_pull_request and head.author == user and head.status in ("open", "draft")
            for head in self.records.heads()
        )

    # -- what it changes -----------------------------------------------------------------------------------------------

    def commits(self, record: Record) -> Iterator[pygit2.Commit]:
        """The commits of a pull request, newest first, at most 500."""
        walk = self._git.walk(self._head(record).id, pygit2.enums.SortMode.TOPOLOGICAL)
        walk.hide(self._ancestor(record).id)
        if record.merged is None:
            with suppress(RevisionNotFoundError):
                walk.hide(self._repo.head(record.base or "").id)
        yield from islice(walk, _MAX_COMMITS)

    def conflicts(self, record: Record) -> list[str]:
        """Files with conflicts that prevent a merge; an empty list if the base branch is gone."""
        with suppress(RevisionNotFoundError):
            return self._merged(record, self._repo.head(record.base or ""))[1]
        return []

    def diff(self, record: Record) -> str:
        """The changes of a pull request as a git diff of at most a mebibyte."""
        text = []
        size = 0
        for patch in self._git.diff(self._ancestor(record), self._head(record)):
            if patch is None:
                continue
            data = patch.data
            size += len(data)
            if size > _MAX_DIFF:
                text.append(f"# The diff is longer than {_MAX_DIFF:,} bytes; the rest is left out.\n")
                break
            text.append(data.decode(errors="replace"))
        return "".join(text)

    def merge(self, number: int, user: str, comment: str | None) -> str:
        """Apply the changes of a pull request to its base branch, as one commit.

        Returns
        -------
        str
            The id of this commit; the head of the branch if that contains all the changes already.

        Raises
        ------
        UnmergeableError
            The branch has other changes of the same lines or files.
        BadRequestError
            It is not an open pull request, or it changes nothing.
        RevisionNotFoundError
            The base branch is gone.
        """
        with self._repo.turn():
            record = self._settled(number)
            if not record.is_pull_request:
                raise BadRequestError(f"{number} is a discussion; there is nothing to merge", status=400)
            if record.status != "open":
                hint = "; publish it first, by the status open" if record.status == "draft" else ""
                raise BadRequestError(f"pull request {number} is {record.status}, not open{hint}", status=400)
            if comment:
                record.comment(user, comment)
            for attempt in range(_ATTEMPTS):
                base = self._repo.head(record.base or "")
                tree, files = self._merged(record, base)
                if tree is None:
                    raise UnmergeableError(
                        f"pull request {number} conflicts with {record.base}: {', '.join(files[:5])}", files
                    )
                made = base.id
                if tree != base.tree_id:
                    made = write_commit(self._git, signature(user), self._message(record, user), tree, [base.id])
                elif not any(True for _ in self.commits(record)):
                    raise BadRequestError(f"pull request {number} changes nothing; commit to it first", status=400)
                record.merging = str(made)
                self.records.write(record)
                try:
                    if made != base.id:
                        self._repo.move(record.base or "", base.id, made)
                except (pygit2.GitError, OSError, KeyError):
                    if attempt == _ATTEMPTS - 1 or self._repo.head(record.base or "").id == base.id:
                        raise
                    continue
                self._finish(record, user)
                return str(made)
        raise AssertionError("the last attempt returns or raises")

    # -- below ---------------------------------------------------------------------------------------------------------

    def _settled(self, number: int) -> Record:
        """Read a record. If a merge was interrupted, first find out whether the branch moved, and update the record."""
        record = self.records.read(number)
        if record.merging is not None:
            with suppress(RevisionNotFoundError, KeyError, ValueError):
                made, head = pygit2.Oid(hex=record.merging), self._repo.head(record.base or "").id
                if made == head or self._git.descendant_of(head, made):
                    self._finish(record, self._repo.resolve(record.merging).author.name)
                    return record
            record.merging = None
            self.records.write(record)
        return record

    def _finish(self, record: Record, user: str) -> None:
        record.merged, record.merging = record.merging, None
        record.change_status(user, "merged")
        self.records.write(record)

    def _merged(self, record: Record, base: pygit2.Commit) -> tuple[pygit2.Oid | None, list[str]]:
        """The tree of the merge and an empty list; or ``None`` and the files in conflict."""
        # No rename detection: it would have to compare contents, and its results are guesses.
        merged = self._git.merge_trees(
            self._ancestor(record).tree, base.tree, self._head(record).tree, flags=pygit2.enums.MergeFlag(0)
        )
        if merged.conflicts is not None:
            sides = (side for conflict in merged.conflicts for side in conflict if side is not None)
            return None, sorted({side.path for side in sides})
        return merged.write_tree(self._git), []

    def _ancestor(self, record: Record) -> pygit2.Commit:
        """The merge base of branch and pull request; if there is none, as after a squash, the commit where it started."""
        found = None
        with suppress(RevisionNotFoundError, KeyError):
            found = self._git.merge_base(self._repo.head(record.base or "").id, self._head(record).id)
        return self._repo.resolve(record.start or "") if found is None else self._repo.resolve(str(found))

    def _head(self, record: Record) -> pygit2.Commit:
        return self._repo.head(f"refs/pr/{record.num}")

    def _references(self) -> dict[str, str]:
        return self._repo.references("refs/pr/")

    def _message(self, record: Record, user: str) -> str:
        """The merge commit's message: title and number, the commits of the pull request, and their authors."""
        commits = list(self.commits(record))
        lines = [f"- {message_of(commit).partition(chr(10))[0]} ({commit.id})" for commit in reversed(commits)]
        authors: Mapping[str, str] = dict(map(author_of, reversed(commits)))
        others: Iterable[str] = (f"Co-authored-by: {name} <{email}>" for name, email in authors.items() if name != user)
        parts = (f"{record.title} (#{record.num})", "\n".join(lines), "\n".join(others))
        return "\n\n".join(part for part in parts if part)
