"""The part of the file system that copies and moves: content is not transferred if the endpoint can share it."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any, Literal

from fsspec.implementations.local import trailing_sep
from fsspec.utils import stringify_path

from pyxet._async.changes.edits import Edits
from pyxet._async.changes.guards import NO_CONDITIONS, Conditions
from pyxet._async.changes.pending import Pending, folders_of
from pyxet._async.changes.view import Entry, View
from pyxet._async.fs.calls import at_home
from pyxet._async.fs.contents import pieces_of
from pyxet._async.fs.expanding import Expanding
from pyxet._async.fs.guarding import Guarding, Place
from pyxet._async.fs.lookup import expect
from pyxet._async.fs.names import check_distinct, leaves_out_folders, one_or_lists, target_names, warn_nothing_done
from pyxet._async.runtime.tasks import run_all
from pyxet.errors import AlreadyExistsError, NotFoundError, XetURLError
from pyxet.options import public
from pyxet.patterns import has_magic
from pyxet.types import IfMatch, RemoteFile, WriteMode


class Copying(Expanding, Guarding):
    """See `AsyncXetFileSystem`."""

    @public()
    @at_home
    async def _cp_file(
        self,
        /,
        path1: str,
        path2: str,
        mode: WriteMode = "overwrite",
        message: str | None = None,
        parent_commit: str | None = None,
        if_match: IfMatch | None = None,
        pull_request: bool = False,
    ) -> None:
        """Copy a file; its content is not transferred if the endpoint can share it.

        Parameters
        ----------
        mode, message, parent_commit, if_match, pull_request:
            As in `_pipe_file`, for ``path2``.

        Raises
        ------
        NotFoundError
            There is nothing at ``path1``.
        IsADirectoryError
            ``path1`` is a folder; `_copy` copies folders with ``recursive``.
        """
        conditions = Conditions.asked(mode, if_match)
        view, found = await self._lookup(*self._parse_file(path1))
        if found.is_folder:
            raise IsADirectoryError(errno.EISDIR, "it is a folder; copy it with cp(…, recursive=True)", path1)
        async with self._edits(message, parent_commit, pull_request) as edits:
            [place] = await self._places(edits, [path2], conditions, parent_commit)
            await self._copy_one((place, (view, found)))

    @public()
    @at_home
    async def _copy(
        self,
        /,
        path1: Any,
        path2: Any,
        recursive: bool = False,
        on_error: Literal["raise", "ignore"] | None = None,
        maxdepth: int | None = None,
        batch_size: int | None = None,
        mode: WriteMode = "overwrite",
        message: str | None = None,
        parent_commit: str | None = None,
        if_match: IfMatch | None = None,
        assume_literal: bool = False,
        pull_request: bool = False,
    ) -> None:
        """Copy files and folders, with fsspec's rules for names and trailing slashes: one commit for each branch.

        Parameters
        ----------
        path1:
            Paths. A path with wildcards is a pattern if it does not exist. Folders are skipped without ``recursive``, with
            a warning if nothing is left of a single path.
        path2:
            A file or folder; or a list with one path for each item of the list ``path1``.
        on_error:
            ``ignore`` skips paths that do not exist.
        batch_size:
            Part of fsspec's interface, without effect: `Limits` bound memory and concurrency.
        mode, message, parent_commit, if_match, pull_request:
            As in `_put`, for the paths that are written.
        assume_literal:
            Paths are never patterns, even if they do not exist.

        Raises
        ------
        NotFoundError
            A path does not exist.
        IsADirectoryError
            A path in a list is a folder, and ``recursive`` is not set.
        XetURLError
            Two files would get the same name.
        AlreadyExistsError, EditConflictError
            A file exists, is not the version expected, or changed since ``parent_commit``.
        """
        conditions = Conditions.asked(mode, if_match)
        path1, path2 = one_or_lists(path1, path2)
        async with self._edits(message, parent_commit, pull_request, many=True) as edits:
            pairs = await self._copy_names(
                path1, path2, recursive, maxdepth, literal=assume_literal, ignore=on_error == "ignore"
            )
            if not pairs and isinstance(path1, (str, os.PathLike)) and on_error != "ignore":
                warn_nothing_done("copied", stringify_path(path1))
            # A recursive copy skips files that others delete after they were listed.
            ignore = on_error == "ignore" or (on_error is None and recursive)
            await self._copy_within(edits, pairs, conditions, parent_commit, ignore=ignore)

    @public()
    @at_home
    async def _mv(
        self,
        /,
        path1: Any,
        path2: Any,
        recursive: bool = False,
        maxdepth: int | None = None,
        batch_size: int | None = None,
        mode: WriteMode = "overwrite",
        message: str | None = None,
        parent_commit: str | None = None,
        if_match: IfMatch | None = None,
        assume_literal: bool = False,
        pull_request: bool = False,
    ) -> None:
        """Move files and folders in one commit for each branch; content is shared as in `_copy`.

        Parameters
        ----------
        path1, path2, assume_literal:
            As in `_copy`. If ``path2`` is an existing folder, what is moved into it keeps its name.
        recursive:
            Part of fsspec's interface, without effect: folders are moved with everything below them.
        batch_size:
            Part of fsspec's interface, without effect: `Limits` bound memory and concurrency.
        mode, message, if_match, pull_request:
            As in `_put`, for the paths that are written.
        parent_commit:
            A full commit id. Changes to sources or targets since that commit are conflicts.

        Raises
        ------
        NotFoundError
            A path does not exist.
        AlreadyExistsError, NotADirectoryError
            A folder would be moved onto an existing folder or file.
        XetURLError
            A folder would be moved into itself, or two files would get the same name.
        EditConflictError
            A file is not the version expected, or changed since ``parent_commit``.
        """
        conditions = Conditions.asked(mode, if_match)
        path1, path2 = one_or_lists(path1, path2)
        if not isinstance(path1, list) and self._strip_protocol(path1) == self._strip_protocol(path2):
            await self._info(stringify_path(path1))
            return
        async with self._edits(message, parent_commit, pull_request, many=True) as edits:
            for path in path1 if isinstance(path1, list) else [path1]:
                # Requests the branch's present commit first: the version that is copied must be the one that is deleted.
                if self._parse(path).revision is not None:
                    await self._target(edits, path)
                elif not has_magic(self._strip_protocol(path)):
                    self._parse_file(path)
            pairs = await self._copy_names(path1, path2, True, maxdepth, literal=assume_literal, move=True)
            await self._copy_within(edits, pairs, conditions, parent_commit, ignore=False, move=True)

    @public()
    @at_home
    async def _mv_file(
        self,
        /,
        path1: str,
        path2: str,
        mode: WriteMode = "overwrite",
        message: str | None = None,
        parent_commit: str | None = None,
        if_match: IfMatch | None = None,
        pull_request: bool = False,
    ) -> None:
        """Move one file or folder, see `_mv`; the path is never a pattern."""
        await self._mv(
            path1, path2, mode=mode, message=message, parent_commit=parent_commit, if_match=if_match, pull_request=pull_request,
            assume_literal=True,
        )  # fmt: skip

    async def _copy_within(
        self,
        edits: Edits,
        pairs: Sequence[tuple[str, str]],
        conditions: Conditions,
        parent_commit: str | None,
        *,
        ignore: bool,
        move: bool = False,
    ) -> None:
        """Copy files and, with ``move``, delete the sources. With ``ignore``, sources that do not exist are skipped."""
        found = await self._lookup_all([source for source, _ in pairs if self._parse(source).path])
        copied: dict[str, str] = {}
        contents: list[tuple[View, Entry]] = []
        written: list[str] = []
        for source, target in pairs:
            there = found.get(source)
            if there is None or (ignore and isinstance(there, NotFoundError)):
                continue
            view, item = expect(there)
            if not item.is_folder:
                contents.append((view, item))
                copied[source] = self._strip_protocol(target)
                written.append(target)
        check_distinct(copied.items())
        # A source that is also a target is not deleted, as when two files swap their names.
        gone = copied.keys() - copied.values() if move else set()
        folders = {folder for target in copied.values() for folder in folders_of(target)}
        targets = set(copied.values())
        places = await self._places(edits, written, conditions, parent_commit)
        in_the_way = {name for name in gone if name in folders or not targets.isdisjoint(folders_of(name))}
        await self._delete_files(edits, sorted(in_the_way), NO_CONDITIONS, parent_commit)
        await run_all(self._copy_one, zip(places, contents, strict=True), limit=self.limits.concurrency)
        await self._delete_files(edits, sorted(gone - in_the_way), NO_CONDITIONS, parent_commit)

    async def _copy_names(
        self,
        path1: Any,
        path2: Any,
        recursive: bool,
        maxdepth: int | None,
        *,
        literal: bool,
        ignore: bool = False,
        move: bool = False,
    ) -> list[tuple[str, str]]:
        """Return pairs of the paths to copy and the paths of their copies.

        The pairs also contain folders, which `_copy_within` skips. The list is empty if fsspec's rules leave out everything.
        """
        # Invalid sources and targets raise here, before any request.
        sources, targets = self._normalized(path1), self._normalized(path2)
        single = isinstance(path1, (str, os.PathLike))
        if not single and not isinstance(targets, str):
            return await self._with_folders(list(zip(sources, targets, strict=True)), recursive=recursive)
        # Folders are moved with everything below them, also those in a list or matched by a pattern. A single path with
        # ``maxdepth`` is the exception.
        whole = move and not (single and maxdepth is not None)
        expansion = await self._expand(path1, recursive and not whole, maxdepth, literal=literal)
        if not ignore:
            expansion.raise_missing()
        paths = expansion.names
        text = stringify_path(path1) if single else ""
        if single and not whole and leaves_out_folders(expansion, recursive, maxdepth):
            found = await self._lookup_all([path for path in paths if self._parse(path).path])
            paths = [
                path for path, there in found.items() if isinstance(there, NotFoundError) or not there[1].is_folder
            ]
            if not paths and move:
                raise IsADirectoryError(
                    errno.EISDIR, "only folders match, and with maxdepth only files are moved; leave out maxdepth", text
                )
            if not paths:
                return []
        into_folder = isinstance(path2, (str, os.PathLike)) and (
            trailing_sep(stringify_path(path2)) or await self._isdir(stringify_path(path2))
        )
        names = target_names(
            paths, targets, single=single, is_pattern=expansion.is_pattern, into_folder=into_folder,
            has_slash=trailing_sep(text),
        )  # fmt: skip
        pairs = list(zip(paths, names, strict=True))
        if move:
            for path in paths:
                # Raises for branches and repositories, which a pattern may match and which cannot be moved.
                self._parse_file(path)
            # The pattern d/** also matches d, and pairs it with the target itself. Only the contents of d are moved there.
            top = targets if expansion.is_pattern else None
            await self._check_moves([pair for pair in pairs if pair[1] != top], merge=trailing_sep(text))
        if whole:
            return await self._with_folders(pairs, recursive=True)
        if not single and not recursive:
            # Raises for folders that are given by name. Those that patterns match are skipped, as with a single pattern.
            await self._with_folders([pair for pair in pairs if pair[0] in expansion.literals], recursive=False)
        return pairs

    async def _check_moves(self, pairs: Sequence[tuple[str, str]], *, merge: bool) -> None:
        """Raise if a folder would be moved into itself, onto a file or, unless ``merge``, onto an existing folder."""
        found = await self._lookup_all([source for source, _ in pairs if self._parse(source).path])
        folders = {
            source: target
            for source, target in pairs
            if (there := found.get(source)) is not None
            and not isinstance(there, NotFoundError)
            and there[1].is_folder
            and source != target
        }
        goals = await self._lookup_all([target for target in folders.values() if self._parse(target).path])
        for source, target in folders.items():
            goal = goals.get(target)
            if target.startswith(f"{source}/"):
                raise XetURLError(f"{source} cannot be moved into itself, to {target}")
            if goal is None or isinstance(goal, NotFoundError):
                continue
            if not goal[1].is_folder:
                raise NotADirectoryError(errno.ENOTDIR, f"{source} is a folder, and the target is a file", target)
            if not merge:
                raise AlreadyExistsError(f"{source} cannot be moved to {target}, which is a folder", status=409)

    async def _copy_one(self, item: tuple[Place, tuple[View, Entry]]) -> None:
        place, (view, found) = item
        changes, inside = place.changes, place.path
        await self._copy_content(place, view, found)
        if not isinstance(found.content, Pending):
            beneath = changes.repo == view.repo and changes.base == view.commit
            changes.note_origin(inside, found.path if beneath else None)
        elif view.changes is not None and found.path in view.changes.pending.origins:
            origin = view.changes.pending.origins[found.path]
            changes.note_origin(inside, origin if view.changes.pending is changes.pending else None)

    async def _copy_content(self, place: Place, view: View, found: Entry) -> None:
        changes, inside = place.changes, place.path
        content = found.content
        assert content is not None
        if isinstance(content, Pending) and isinstance(content.content, RemoteFile):
            content = content.content
        stored = isinstance(content, RemoteFile) and content.sha256 is not None and content.xet_hash is not None
        if stored or (changes.repo == view.repo and (view.changes is None or view.changes.pending is changes.pending)):
            await changes.copy(inside, content, place.guard)
            return
        writer = changes.writer(inside, place.guard)
        try:
            async with aclosing(pieces_of(await self._connect(), view, found)) as pieces:
                async for piece in pieces:
                    await writer.write(piece)
            await writer.close()
        except BaseException:
            await writer.discard()
            raise
