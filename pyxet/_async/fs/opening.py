"""The part of the file system that opens files for writing, and asynchronous files for reading."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any, Literal, overload

from pyxet._async.changes.edits import Edits
from pyxet._async.changes.file_write import Appending, Begun, Writing
from pyxet._async.changes.guards import Conditions, Guard, Watch, check_parent_commit
from pyxet._async.changes.transaction import Transaction
from pyxet._async.changes.view import Entry, View
from pyxet._async.files.opened import OpenedLater
from pyxet._async.files.read import AsyncXetReadFile
from pyxet._async.files.write import AsyncXetWriteFile
from pyxet._async.fs.calls import at_home
from pyxet._async.fs.contents import pieces_of
from pyxet._async.fs.guarding import Guarding, Place
from pyxet._async.fs.streaming import Streaming
from pyxet.options import public
from pyxet.types import BinaryWriteMode, IfMatch, ReadMode, RemoteFile


class Opening(Guarding, Streaming):
    """See `AsyncXetFileSystem`."""

    @at_home
    async def _open_for_writing(
        self,
        path: str,
        mode: Literal["wb", "xb", "ab"],
        message: str | None = None,
        parent_commit: str | None = None,
        if_match: IfMatch | None = None,
    ) -> Writing:
        """Begin to write a file; ``xb`` raises if it exists, ``ab`` begins with its content.

        Raises
        ------
        FolderInTheWayError
            A folder is at the path. It is an `IsADirectoryError`.
        FileInTheWayError
            A file is where the path needs a folder. It is a `NotADirectoryError`.
        """
        conditions = Conditions.asked("create" if mode == "xb" else "overwrite", if_match)
        check_parent_commit(parent_commit)
        transaction = self._transaction_to_write_in()

        async def begin() -> Begun:
            return await self._begin(transaction, path, mode, conditions, parent_commit)

        begun = await begin()
        # An append starts again if somebody else writes the file first. With ``if_match`` or ``parent_commit``, it has to fail.
        again = mode == "ab" and if_match is None and parent_commit is None
        appending = Appending(begun, begin) if again else None
        return Writing(begun.writer, edits=begun.edits, transaction=transaction, message=message, appending=appending)

    async def _begin(
        self,
        transaction: Transaction | None,
        path: str,
        mode: Literal["wb", "xb", "ab"],
        conditions: Conditions,
        parent_commit: str | None,
    ) -> Begun:
        """Make the writer for a file; for ``ab``, it begins with the present content."""
        own = await self._new_edits(parent_commit) if transaction is None else None
        try:
            edits: Edits = own or transaction.edits  # type: ignore[union-attr]  # one of the two
            changes, inside = await self._target(edits, path)
            # Conflicts are raised now, and not only by the commit, after everything has been sent.
            view = View((await self._connect()).trees, changes.repo, changes.base, changes)
            await view.check_place(inside, may_exist=mode != "xb")
            [place] = await self._places(edits, [path], conditions, parent_commit)
            watch = changes.watch(inside) if mode == "ab" else Watch()
            found = await view.lookup(inside) if mode == "ab" else None
            guard = _guard_of_append(place, found) if mode == "ab" else place.guard
            writer = changes.writer(inside, guard)
            try:
                if found is not None:
                    async with aclosing(pieces_of(await self._connect(), view, found)) as pieces:
                        async for piece in pieces:
                            await writer.write(piece)
            except BaseException:
                await writer.discard()
                raise
        except BaseException:
            if own is not None:
                await own.discard()
            raise
        return Begun(writer, own, found is not None, watch)

    @overload
    def open_async(
        self, /, path: str, mode: ReadMode = "rb", compression: None = None
    ) -> OpenedLater[AsyncXetReadFile]: ...  # fmt: skip
    @overload
    def open_async(
        self, /, path: str, mode: BinaryWriteMode, compression: None = None, message: str | None = None,
        parent_commit: str | None = None, if_match: IfMatch | None = None,
    ) -> OpenedLater[AsyncXetWriteFile]: ...  # fmt: skip
    @overload
    def open_async(
        self, /, path: str, mode: str, compression: str | None = None, message: str | None = None,
        parent_commit: str | None = None, if_match: IfMatch | None = None,
    ) -> OpenedLater[Any]: ...  # fmt: skip
    @public()
    def open_async(
        self,
        /,
        path: str,
        mode: str = "rb",
        compression: str | None = None,
        message: str | None = None,
        parent_commit: str | None = None,
        if_match: IfMatch | None = None,
    ) -> OpenedLater[Any]:
        """Open a file whose ``read``, ``write`` and the like are awaited: ``async with fs.open_async(path) as file``.

        Without a block, use ``file = await fs.open_async(path)``, and ``await file.close()`` at the end.

        Parameters
        ----------
        path:
            A file.
        mode:
            ``rb``, ``wb``, ``xb`` or ``ab``.
        compression:
            Only ``None`` is supported: asynchronous files are not compressed.
        message, parent_commit, if_match:
            For writing, as in `_pipe_file`.

        Returns
        -------
        OpenedLater
            An object to await or to use with ``async with``; either gives an `AsyncXetReadFile` or an `AsyncXetWriteFile`.

        Raises
        ------
        ValueError
            The mode is not one of these, or a compression is given.
        TypeError
            An option is unknown, or is for writing and the mode is ``rb``.
        NotFoundError, AlreadyExistsError, EditConflictError
            The file to read does not exist; the file to make exists already; the file is not the version expected.
        """
        opening = self._open_later(path, mode, compression, message, parent_commit, if_match)
        # Python's warning about a coroutine that was never awaited contains this name.
        opening.__qualname__ = "open_async"  # type: ignore[attr-defined]  # coroutines have one
        return OpenedLater(opening)

    async def _open_later(
        self,
        path: str,
        mode: str,
        compression: str | None,
        message: str | None,
        parent_commit: str | None,
        if_match: IfMatch | None,
    ) -> AsyncXetReadFile | AsyncXetWriteFile:
        if "b" not in mode or compression is not None:
            raise ValueError("asynchronous files are binary and not compressed: mode 'rb', 'wb', 'xb' or 'ab'")
        if mode == "rb":
            check_reading(message=message, parent_commit=parent_commit, if_match=if_match)
            return await self._open_to_read(path)
        writing = await self._open_for_writing(path, write_mode(mode), message, parent_commit, if_match)
        file = AsyncXetWriteFile(self, self._strip_protocol(path), mode, writing)
        if writing.transaction is not None:
            writing.transaction.hold(writing, file, file)
        return file


def _guard_of_append(place: Place, found: Entry | None) -> Guard | None:
    """The guard of an append: at the commit, the file must be the version that was read. Pending files are watched instead."""
    since = place.guard.since if place.guard is not None else frozenset()
    if found is None:
        return Guard(absent=not place.changes.pending.deletes(place.path), since=since)
    if isinstance(found.content, RemoteFile):
        return Guard(frozenset({found.content.blob_id}), since=since)
    return place.guard


def check_reading(**options: object) -> None:
    """Raise `TypeError` if options for writing are given with a mode for reading."""
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise TypeError(f"{', '.join(given)}: not allowed for a file that is opened for reading")


def write_mode(mode: str) -> Literal["wb", "xb", "ab"]:
    """Return the mode if it is one for writing; raise `ValueError` otherwise."""
    if mode not in ("wb", "xb", "ab"):
        raise ValueError(f"mode {mode!r}: expected 'rb', 'wb', 'xb' or 'ab'")
    return mode  # type: ignore[return-value]  # one of the three
