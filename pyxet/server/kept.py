"""What was looked up lately and is kept in memory, as much of it as there is room for."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Kept(Generic[K, V]):
    """Values that were looked up lately, as many as there is room for; threads may share it.

    Parameters
    ----------
    most:
        How much all of them together may weigh. The last one stays, whatever it weighs.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._weight = 0
        self._guard = threading.Lock()
        self._forgotten = 0

    @property
    def now(self) -> int:
        """A moment, for `put`: it ends whenever something is forgotten."""
        return self._forgotten

    def get(self, key: K) -> V | None:
        """A value that is still there."""
        with self._guard:
            found = self._values.get(key)
            if found is None:
                return None
            self._values.move_to_end(key)
            return found[0]

    def put(self, key: K, value: V, weight: int, since: int | None = None) -> None:
        """Keep a value, in the place of an older one of its key.

        Parameters
        ----------
        since:
            The moment (see `now`) before it was looked up, where it may change: it is not kept if that has ended.
        """
        with self._guard:
            if since is not None and since != self._forgotten:
                return
            self._drop(key)
            self._values[key] = value, weight
            self._weight += weight
            while self._weight > self._most and len(self._values) > 1:
                self._drop(next(iter(self._values)))

    def forget(self, keys: Iterable[K]) -> None:
        """Forget values that have changed."""
        with self._guard:
            self._forgotten += 1
            for key in keys:
                self._drop(key)

    def _drop(self, key: K) -> None:
        found = self._values.pop(key, None)
        if found is not None:
            self._weight -= found[1]
