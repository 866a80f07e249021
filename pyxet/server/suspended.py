"""Listings that stopped at the end of a page, to go on with the next one.

Git has no way to begin in the middle: a later page of a log would walk all commits before it again, and one of a folder with
very many entries would unpack all of it again. So the iterator that made a page is kept for a while for the next page.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from itertools import islice
from typing import Any, Final, TypeVar

T = TypeVar("T")

# How many iterators are kept, and for how many seconds: each may hold a large folder, and the files of its repository open.
_MOST: Final = 8
_PATIENCE: Final = 60.0


class Suspended:
    """Iterators by the place where they continue. One request at a time uses each of them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._guard = threading.Lock()
        self._waiting: OrderedDict[Hashable, tuple[float, list[Any], Iterator[Any]]] = OrderedDict()

    def page(
        self, begin: Callable[[], Iterator[T]], size: int, place: Hashable, after: Callable[[T], Hashable]
    ) -> tuple[list[T], bool]:
        """The next items of a listing. Blocks.

        Parameters
        ----------
        begin:
            Makes the iterator, if none is kept for this place.
        size:
            Number of items in a page.
        place:
            What the listing is of, which never changes, and where this page begins in it.
        after:
            The same for the page that follows an item.

        Returns
        -------
        tuple
            The items, and whether there are more.
        """
        # The first item of this page, which showed that there was one, and those behind it. They are kept apart: an iterator
        # around an iterator for each page would be a thousand deep in the end.
        ahead, items = self._taken(place) or ([], begin())
        found = [*ahead, *islice(items, size - len(ahead))]
        rest = list(islice(items, 1)) if len(found) == size else []
        if rest:
            self._keep(after(found[-1]), rest, items)
        return found, bool(rest)

    def forget(self) -> None:
        """Drop all iterators before a repository is moved or deleted: their next pages start a new iterator."""
        with self._guard:
            self._waiting.clear()

    def _taken(self, place: Hashable) -> tuple[list[Any], Iterator[Any]] | None:
        with self._guard:
            self._forget_old()
            found = self._waiting.pop(place, None)
        return found[1:] if found else None

    def _keep(self, place: Hashable, ahead: list[Any], items: Iterator[Any]) -> None:
        with self._guard:
            self._waiting[place] = self._clock() + _PATIENCE, ahead, items
            self._waiting.move_to_end(place)
            self._forget_old()
            while len(self._waiting) > _MOST:
                self._waiting.popitem(last=False)

    def _forget_old(self) -> None:
        now = self._clock()
        for place in [place for place, (until, *_) in self._waiting.items() if until < now]:
            del self._waiting[place]
