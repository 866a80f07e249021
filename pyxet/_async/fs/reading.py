"""The part of the file system that reads content into memory and into local files."""

from __future__ import annotations

import errno
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, Literal, TypeAlias, overload

from fsspec.callbacks import DEFAULT_CALLBACK, Callback
from fsspec.implementations.local import LocalFileSystem, make_path_posix, trailing_sep
from fsspec.utils import stringify_path, tokenize

from pyxet._async.changes.view import Entry, View
from pyxet._async.download import leftovers
from pyxet._async.fs.calls import at_home, opened
from pyxet._async.fs.contents import bounds, content_at, content_of, file_of, pieces_of
from pyxet._async.fs.expanding import Expanding
from pyxet._async.fs.local_targets import check_inside, created, make_folder, possible, pour
from pyxet._async.fs.lookup import Located, check_on_error, expect, is_folder, raise_first, stored_of
from pyxet._async.fs.names import check_distinct, leaves_out_folders, one_or_lists, target_names, warn_nothing_done
from pyxet._async.fs.paths import as_text
from pyxet._async.fs.progress import shows_progress
from pyxet._async.runtime.streams import Stream, is_stream
from pyxet._async.runtime.tasks import run_all, run_each, run_together
from pyxet._async.runtime.threads import in_thread, surely, to_end
from pyxet._platform_files import remove, replace
from pyxet.content_ids import blob_id
from pyxet.local_rules import LocalNames, LocalRules, with_slashes
from pyxet.options import public
from pyxet.types import Info, RemoteFile

OnError: TypeAlias = Literal["raise", "omit", "return"]
Paths: TypeAlias = list[str] | tuple[str, ...] | set[str]
# Starts or ends of ranges: one for each file, or one number for all.
Bounds: TypeAlias = int | Sequence[int | None] | None


class Reading(Expanding):
    """See `AsyncXetFileSystem`."""

    # -- into memory ---------------------------------------------------------------------------------------------------

    @public()
    @at_home
    async def _cat_file(self, /, path: str, start: int | None = None, end: int | None = None) -> bytes:
        """Return the content of a file, or its bytes ``start`` to before ``end``; negative numbers count from its end.

        Returns
        -------
        bytes
            The content.

        Raises
        ------
        NotFoundError
            There is no such file.
        IsADirectoryError
            The path is a folder.
        IntegrityError
            The bytes received are not the file's content.
        """
        found = await self._lookup(*self._parse_file(path), to_read=True)
        return await content_at(self._client(), path, found, start, end)

    # A single path that is not a pattern gives bytes; several paths, or a recursive call, give a dictionary.
    @overload
    async def _cat(
        self, /, path: str | os.PathLike[str], recursive: Literal[False] = False, on_error: Literal["raise"] = "raise",
        start: int | None = None, end: int | None = None, assume_literal: bool = False,
    ) -> bytes: ...  # fmt: skip
    @overload
    async def _cat(
        self, /, path: Paths, recursive: bool = False, on_error: Literal["raise", "omit"] = "raise",
        start: int | None = None, end: int | None = None, assume_literal: bool = False,
    ) -> dict[str, bytes]: ...  # fmt: skip
    @overload
    async def _cat(
        self, /, path: Paths, recursive: bool = False, *, on_error: Literal["return"],
        start: int | None = None, end: int | None = None, assume_literal: bool = False,
    ) -> dict[str, bytes | Exception]: ...  # fmt: skip
    @overload
    async def _cat(
        self, /, path: str | os.PathLike[str], *, recursive: Literal[True], on_error: Literal["raise", "omit"] = "raise",
        start: int | None = None, end: int | None = None, assume_literal: bool = False,
    ) -> dict[str, bytes]: ...  # fmt: skip
    @overload
    async def _cat(
        self, /, path: str | os.PathLike[str] | Paths, recursive: bool = False, on_error: OnError = "raise",
        start: int | None = None, end: int | None = None, assume_literal: bool = False,
    ) -> Any: ...  # fmt: skip
    @public("batch_size")
    @at_home
    async def _cat(
        self,
        /,
        path: Any,
        recursive: bool = False,
        on_error: OnError = "raise",
        start: int | None = None,
        end: int | None = None,
        assume_literal: bool = False,
    ) -> Any:
        """Read whole files or a range of each: bytes for one path, a dictionary for a list, a pattern or a recursive read.

        Parameters
        ----------
        path:
            Paths. A path with wildcards is a pattern if it does not exist.
        on_error:
            ``raise`` the first error, ``omit`` the path, or ``return`` the error in place of the content.
        start, end:
            As in `_cat_file`, for each file.
        assume_literal:
            Paths are never patterns, even if they do not exist.

        Returns
        -------
        bytes or dict
            Bytes for one path; otherwise a dictionary of paths to bytes, or to errors if ``on_error`` is ``return``.
        """
        check_on_error(on_error)
        expansion = await self._expand(path, recursive=recursive, literal=assume_literal)
        paths = sorted([*expansion.names, *expansion.missing])
        alone = isinstance(path, (str, os.PathLike)) and not expansion.is_pattern and len(paths) == 1
        # Folders found by a pattern or by recursion are ignored; a folder that is given by name is an error.
        asked = set() if recursive else expansion.literals
        found = await self._lookup_each(expansion.names, to_read=True) | expansion.missing
        names = [
            name
            for name in paths
            if name in asked or name in expansion.missing or not self._above_files(name, found[name])
        ]

        async def read(name: str) -> bytes:
            return await content_at(self._client(), name, expect(found[name]), start, end)

        stored: dict[str, RemoteFile] = {}
        for name in names:
            file = stored_of(found[name])
            if file is not None:
                stored[name] = file
        others = [name for name in names if name not in stored]
        results: dict[str, bytes | Exception] = {}

        async def read_stored() -> None:
            spans = [(file, *bounds(file.size, start, end)) for file in stored.values()]
            results.update(zip(stored, await (await self._connect()).reader.read_all(spans), strict=True))

        async def read_others() -> None:
            contents = await run_each(read, others, limit=self.limits.concurrency)
            results.update(zip(others, contents, strict=True))

        await run_together(read_stored, read_others)
        contents = [results[name] for name in names]
        if on_error == "raise":
            raise_first(contents)
        if alone and contents:
            return contents[0]
        return {
            name: content
            for name, content in zip(names, contents, strict=True)
            if on_error != "omit" or not isinstance(content, Exception)
        }

    def _above_files(self, path: str, there: Located | Exception) -> bool:
        """Whether a path is a folder, a branch or above branches."""
        return not self._parse(path).path or (not isinstance(there, Exception) and there[1].is_folder)

    @overload
    async def _cat_ranges(
        self, /, paths: Sequence[str], starts: Bounds, ends: Bounds, max_gap: int | None = None,
        batch_size: int | None = None, *, on_error: Literal["raise", "omit"],
    ) -> list[bytes]: ...  # fmt: skip
    @overload
    async def _cat_ranges(
        self, /, paths: Sequence[str], starts: Bounds, ends: Bounds, max_gap: int | None = None,
        batch_size: int | None = None, on_error: OnError = "return",
    ) -> list[bytes | Exception]: ...  # fmt: skip
    @public()
    @at_home
    async def _cat_ranges(
        self,
        /,
        paths: Sequence[str],
        starts: Bounds,
        ends: Bounds,
        max_gap: int | None = None,
        batch_size: int | None = None,
        on_error: OnError = "return",
    ) -> list[Any]:
        """Read byte ranges of files, in the given order.

        Parameters
        ----------
        paths, starts, ends:
            One range for each path; a single number applies to all of them.
        max_gap:
            Ranges of one file that are at most this many bytes apart are fetched as one.
        on_error:
            ``return`` puts an error in its range's place, ``omit`` leaves the range out, ``raise`` raises the first error.

        Returns
        -------
        list
            Bytes, and errors if ``on_error`` is ``return``.
        """
        check_on_error(on_error)
        if isinstance(paths, str):
            raise TypeError("paths must be a list")
        starts = list(starts) if isinstance(starts, Iterable) else [starts] * len(paths)
        ends = list(ends) if isinstance(ends, Iterable) else [ends] * len(paths)
        if not len(paths) == len(starts) == len(ends):
            raise ValueError(
                f"{len(paths)} paths, {len(starts)} starts and {len(ends)} ends: expected one start and one end for each path"
            )
        found = await self._find_unescaped(paths)
        members: defaultdict[str, list[int]] = defaultdict(list)
        for index, path in enumerate(paths):
            members[path].append(index)

        async def read(item: tuple[str, list[int]]) -> list[Any]:
            path, indices = item
            view, there = expect(found[path])
            file = file_of(path, there)
            spans = [bounds(file.size, starts[index], ends[index]) for index in indices]
            if isinstance(file.content, RemoteFile):
                return list(await (await self._connect()).reader.read_ranges(file.content, spans, max_gap=max_gap))
            return [await content_of(await self._connect(), view, file, *span) for span in spans]

        contents = await run_each(read, members.items(), limit=self.limits.concurrency)
        results: list[Any] = [None] * len(paths)
        for indices, content in zip(members.values(), contents, strict=True):
            for place, index in enumerate(indices):
                results[index] = content if isinstance(content, Exception) else content[place]
        if on_error == "raise":
            raise_first(results)
        return [item for item in results if not isinstance(item, Exception)] if on_error == "omit" else results

    # -- into local files ----------------------------------------------------------------------------------------------

    @public()
    @at_home
    @shows_progress("downloading", files=False)
    async def _get_file(
        self, /, rpath: str, lpath: Any = None, callback: Callback = DEFAULT_CALLBACK, outfile: Any = None,
        progress: bool = False, names: LocalNames = "refuse",
    ) -> None:  # fmt: skip
        """Download a file to a local path or into a file object. For a folder, only a local folder is made.

        The local file appears when its content is complete. If a download is cancelled or killed, the next one resumes it.

        Parameters
        ----------
        lpath, outfile:
            The target; give one of the two. A local path, or a binary file object, which is written to from its current
            position and not closed. It may be blocking or asynchronous (anything with a ``write``); an asynchronous one
            works with the coroutine only.
        callback:
            Counts bytes.
        names:
            What to do with a name that no local file can have, see `_get`.

        Raises
        ------
        NotFoundError
            Nothing is at ``rpath``.
        LocalNameError
            The local file cannot have its name on this machine.
        """
        if (lpath is None) == (outfile is None):
            raise TypeError("get_file needs one place to write to: lpath, or outfile")
        given = outfile if lpath is None else lpath
        rules = LocalRules(names)
        target: Any
        if is_stream(given):
            target = opened(given)
        else:
            [(_, target)] = await in_thread(possible, rules, [(as_text(rpath), with_slashes(as_text(given)))])
        url = self._parse(rpath)
        if url.repo_id is None or url.revision is None or not url.path:
            await self._info(rpath)
        else:
            view, found = await self._lookup(url, url.repo_id, url.revision, to_read=True)
            if not found.is_folder:
                await self._get_one(view, found, rpath, target, Callback.as_callback(callback))
                return
        if isinstance(target, Stream):
            raise IsADirectoryError(errno.EISDIR, "it is a folder, which cannot be written to a file object", rpath)
        await in_thread(make_folder, target)

    async def _get_one(self, view: View, found: Entry, rpath: str, lpath: Any, callback: Callback) -> None:
        file = file_of(rpath, found)
        callback.set_size(file.size)
        if isinstance(file.content, RemoteFile) and not isinstance(lpath, Stream):
            target = Path(stringify_path(lpath))
            await (await self._connect()).reader.download(file.content, target, callback.relative_update)
            return
        async with aclosing(pieces_of(await self._connect(), view, file)) as pieces:
            if isinstance(lpath, Stream):
                await pour(pieces, lpath, callback)
                return
            from pyxet._async.download.to_file import check_target

            # A later download cannot resume this one: pending content has no hash yet to recognize it by.
            target = Path(stringify_path(lpath))
            await to_end(check_target, target)
            unfinished = target.with_name(leftovers.private_name(leftovers.prefix(target.name), ""))
            try:
                async with created(unfinished) as local:
                    await pour(pieces, local, callback)
                await to_end(replace, unfinished, target)
            except BaseException:
                await surely(lambda: remove(unfinished, missing_ok=True))
                raise

    @public("batch_size")
    @at_home
    @shows_progress("downloading", files=True)
    async def _get(
        self,
        /,
        rpath: Any,
        lpath: Any,
        recursive: bool = False,
        callback: Callback = DEFAULT_CALLBACK,
        maxdepth: int | None = None,
        assume_literal: bool = False,
        progress: bool = False,
        names: LocalNames = "refuse",
    ) -> None:
        """Download files and folders, with fsspec's rules for names and trailing slashes.

        Parameters
        ----------
        rpath:
            Paths. A path with wildcards is a pattern if it does not exist. Without ``recursive``, the folders that a single
            path or pattern stands for are skipped, with a warning if nothing else is left.
        lpath:
            A local file or folder, or an open file as in `_get_file`; or a list with one of them for each item of the list
            ``rpath``.
        assume_literal:
            Paths are never patterns, even if they do not exist.
        callback:
            Counts files; the callbacks that it branches for each file count bytes.
        names:
            What to do with files that cannot have their names on this machine (``aux`` and ``a:b`` on Windows, ``README``
            beside ``readme`` if the file system ignores case, names that are too long): ``refuse`` raises before anything
            is written, ``escape`` writes them under other names, in which such characters are escaped as in URLs
            (``a%3Ab``).

        Raises
        ------
        NotFoundError
            Nothing is at a path.
        LocalNameError
            A file cannot have its name here; the message names the file.
        XetURLError
            Two files would get the same name, or a file would be written outside ``lpath``.
        """
        rules = LocalRules(names)
        callback = Callback.as_callback(callback)
        pairs = await self._local_names(rpath, lpath, recursive, maxdepth, literal=assume_literal)
        for _, target in pairs:
            if is_stream(target):
                # A file object that this call cannot use is refused before anything is done.
                opened(target)
        found = await self._lookup_all([path for path, _ in pairs if self._parse(path).path], to_read=True)
        # Missing paths are reported before anything is written.
        for there in found.values():
            expect(there)
        check_distinct(pair for pair in pairs if pair[0] in found and not is_folder(found[pair[0]]))
        pairs = await in_thread(possible, rules, pairs)
        callback.set_size(len(pairs))

        from pyxet._async.download.batches import Placed

        async def get(pair: tuple[str, Any]) -> None:
            remote, target = pair
            there = found.get(remote)
            if there is None or is_folder(there):
                if is_stream(target):
                    raise IsADirectoryError(
                        errno.EISDIR, "it is a folder, which cannot be written to a file object", remote
                    )
                await in_thread(make_folder, target)
            else:
                view, item = expect(there)
                with callback.branched(remote, target) as child:
                    await self._get_one(view, item, remote, opened(target) if is_stream(target) else target, child)
            callback.relative_update(1)

        def count(item: Placed) -> None:
            with callback.branched(item.source, item.target) as child:
                child.set_size(item.file.size)
                child.relative_update(item.file.size)
            callback.relative_update(1)

        stored: list[Placed] = []
        others: list[tuple[str, Any]] = []
        for pair in pairs:
            file = stored_of(found.get(pair[0]))
            if file is None or is_stream(pair[1]):
                others.append(pair)
            else:
                stored.append(Placed(file, *pair))
        reader = (await self._connect()).reader

        async def get_stored() -> None:
            await reader.download_all(stored, lambda item: get((item.source, item.target)), count)

        async def get_others() -> None:
            await run_all(get, others, limit=self.limits.concurrency)

        await run_together(get_stored, get_others)

    async def _local_names(
        self, rpath: Any, lpath: Any, recursive: bool, maxdepth: int | None, *, literal: bool
    ) -> list[tuple[str, Any]]:  # fmt: skip
        """Pairs of a file or folder to download and the local path or open file for it."""
        rpath, lpath = one_or_lists(rpath, lpath)
        if is_stream(lpath) and not isinstance(rpath, list):
            rpath, lpath = [rpath], [lpath]
        if isinstance(lpath, list) and isinstance(rpath, list):
            pairs = [
                (remote, local if is_stream(local) else with_slashes(stringify_path(local)))
                for remote, local in zip(self._normalized(rpath), lpath, strict=True)
            ]
            return await self._with_folders(pairs, recursive=True) if recursive else pairs
        single = isinstance(rpath, (str, os.PathLike))
        text = stringify_path(rpath) if single else ""
        expansion = await self._expand(rpath, recursive=recursive, maxdepth=maxdepth, literal=literal)
        expansion.raise_missing()
        rpaths = expansion.names
        if single and leaves_out_folders(expansion, recursive, maxdepth):
            # Without ``recursive``, a pattern finds files only and folders are left out, but a given name must exist.
            found = await self._lookup_all([path for path in rpaths if self._parse(path).path], to_read=True)
            if not found and not expansion.is_pattern:
                await self._info(text)
            rpaths = [path for path in rpaths if path in found and not is_folder(found[path])]
            if not rpaths:
                warn_nothing_done("downloaded", text)
                return []
        if not isinstance(lpath, list):
            lpath = await in_thread(make_path_posix, with_slashes(stringify_path(lpath)))
        into_folder = isinstance(lpath, str) and (
            trailing_sep(lpath) or await in_thread(LocalFileSystem().isdir, lpath)
        )
        lpaths = target_names(
            rpaths, lpath, single=single, is_pattern=expansion.is_pattern, into_folder=into_folder,
            has_slash=trailing_sep(text),
        )  # fmt: skip
        if isinstance(lpath, str):
            await in_thread(check_inside, Path(lpath), lpaths)
        pairs = list(zip(rpaths, lpaths, strict=True))
        if single and maxdepth is not None:
            # Making the folders is left out: their files may be deeper than ``maxdepth``.
            found = await self._lookup_all([path for path in rpaths if self._parse(path).path], to_read=True)
            pairs = [pair for pair in pairs if pair[0] in found and not is_folder(found[pair[0]])]
        return pairs

    # -- versions ------------------------------------------------------------------------------------------------------

    @public()
    async def _ukey(self, path: str) -> str:
        """Return a key that is different for each version of a file.

        Returns
        -------
        str
            Hexadecimal digits.
        """
        info = await self._identified(path)
        key: str = tokenize(*(info.get(field) for field in ("name", "blob_id", "xet_hash", "size", "type")))
        return key

    @public()
    async def _checksum(self, path: str) -> int:
        """Return a number that identifies the content of a file.

        Returns
        -------
        int
            The SHA-256 of the content, or the git object id of a file that git itself stores.
        """
        info = await self._identified(path)
        return int(info.get("sha256") or info.get("blob_id") or tokenize(info), 16)

    @at_home
    async def _identified(self, path: str) -> Info:
        """Return `_info`. For small content that is pending in a transaction, add the ``blob_id`` that it will have."""
        info: Info = await self._info(path)
        if info["type"] == "file" and not info.keys() & {"blob_id", "xet_hash"}:
            content = await self._cat_file(path)
            info["blob_id"] = await in_thread(blob_id, content)
        return info
