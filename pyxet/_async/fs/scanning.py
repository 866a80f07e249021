"""The part of the file system that lists all files below a path page by page, and that adds up their sizes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, overload

from pyxet._async.changes.view import Entry, View
from pyxet._async.fs.calls import at_home
from pyxet._async.fs.lookup import Lookup
from pyxet.errors import XetURLError
from pyxet.options import public
from pyxet.types import Info
from pyxet.urls import XetURL

if TYPE_CHECKING:
    from pyxet._async.endpoint.hub import Hub


class Scanning(Lookup):
    """See `AsyncXetFileSystem`."""

    @public()
    async def _scan(self, path: str, dates: bool = False) -> AsyncIterator[list[Info]]:
        """Iterate over all files below a path of a branch, page by page. The first pages come before the listing is complete.

        All pages are of the same commit, in the order of the endpoint's listing. The scan needs less memory than `_find`. If
        a request fails, the scan ends with its error.

        Parameters
        ----------
        path:
            A branch, a folder, or a file, which is then the only result.
        dates:
            Include ``last_modified``, which is expensive for the endpoint. In a branch that a transaction has changed, there
            are no dates.

        Yields
        ------
        list of dict
            Dictionaries like those of `_info`.

        Raises
        ------
        NotFoundError
            Nothing is at the path.
        XetURLError
            The path is an owner or a repository.
        """
        url = self._parse(path)
        if url.repo_id is None or url.revision is None:
            raise XetURLError(f"{path!r} is above branches; expected owner/repo/branch or a path in one")
        async with aclosing(await self._begin_scan(url, dates)) as pages:
            while (page := await self._next_page(pages)) is not None:
                yield page

    @overload
    async def _du(
        self, /, path: str, total: Literal[True] = True, maxdepth: int | None = None, withdirs: bool = False,
        refresh: bool = False,
    ) -> int: ...  # fmt: skip
    @overload
    async def _du(
        self, /, path: str, total: Literal[False], maxdepth: int | None = None, withdirs: bool = False,
        refresh: bool = False,
    ) -> dict[str, int]: ...  # fmt: skip
    @overload
    async def _du(
        self, /, path: str, total: bool = True, maxdepth: int | None = None, withdirs: bool = False,
        refresh: bool = False,
    ) -> int | dict[str, int]: ...  # fmt: skip
    @public()
    async def _du(
        self,
        /,
        path: str,
        total: bool = True,
        maxdepth: int | None = None,
        withdirs: bool = False,
        refresh: bool = False,
    ) -> Any:
        """The sizes of the files below a path, in bytes: their sum, or one by one. Shared content counts for each file.

        Parameters
        ----------
        total:
            Return the sum; otherwise the size of each file.

        Returns
        -------
        int or dict
            The sum in bytes; a dictionary of paths to sizes in bytes if ``total`` is off.
        """
        found = await self._find(path, maxdepth=maxdepth, withdirs=withdirs, detail=True, refresh=refresh)
        sizes = {name: info["size"] for name, info in found.items()}
        return sum(sizes.values()) if total else sizes

    @at_home
    async def _begin_scan(self, url: XetURL, dates: bool) -> AsyncGenerator[list[Info], None]:
        """The pages of `_scan`, to be read with `_next_page`."""
        assert url.repo_id is not None
        assert url.revision is not None
        view, top = await self._top(url, url.repo_id, url.revision)
        newer = partial(self._newer_view, revision=url.revision)
        return _pages((await self._connect()).hub, url, view, top, dates, newer)

    @at_home
    async def _next_page(self, pages: AsyncGenerator[list[Info], None]) -> list[Info] | None:
        """The next page of `_begin_scan`, fetched on the loop of the caller's transaction; ``None`` after the last one."""
        return await anext(pages, None)


async def _pages(
    hub: Hub,
    url: XetURL,
    view: View,
    top: Entry,
    dates: bool,
    newer: Callable[[View], Awaitable[View | None]],
) -> AsyncGenerator[list[Info], None]:
    dates = dates and view.changes is None
    if not top.is_folder:
        dated = await view.modified(url.path) if dates else None
        yield [view.info(url.branch_path, dated or top)]
        return
    viewed: View | None = view
    while viewed is not None:
        count = 0
        async with aclosing(_dated(hub, url, viewed) if dates else viewed.below(url.path)) as batches:
            async for batch in batches:
                count += len(batch)
                yield [viewed.info(url.branch_path, item) for item in batch if not item.is_folder]
        viewed = None if count else await newer(viewed)


async def _dated(hub: Hub, url: XetURL, view: View) -> AsyncGenerator[list[Entry], None]:
    """Like `View.below`, with the date of each file's last change."""
    async for page in hub.tree(view.repo, view.commit, url.path, recursive=True, expand=True):
        yield [view.stored(entry) for entry in page.entries]
