"""Methods that a transaction has from its file system (``tr.put`` is ``tr.fs.put``), and its display in notebooks.

Each is a descriptor that returns the file system's own method, with its signature, docstring and types. Type checkers
infer the type through two protocols for each method, one for blocking file systems and one for asynchronous ones, so that
no signature is repeated here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Protocol, TypeVar, overload

from pyxet._shown import Rows
from pyxet.reports import Totals
from pyxet.types import Commit

F_co = TypeVar("F_co", covariant=True)
M_co = TypeVar("M_co", covariant=True)


class _Of(Protocol[F_co]):
    """A transaction of one kind of file system."""

    @property
    def fs(self) -> F_co: ...


class _Blocking(Protocol):
    """A name that only blocking file systems have; names like ``put`` the asynchronous one inherits from fsspec, too."""

    @property
    def stage_many(self) -> Any: ...


class _Shortcut:
    """A method of the transaction's file system: the blocking one, or the coroutine if the file system is asynchronous."""

    def __init__(self, blocking: str, coroutine: str, doc: str) -> None:
        self._blocking = blocking
        self._coroutine = coroutine
        self.__doc__ = doc

    def _found(self, transaction: Any) -> Any:
        if transaction is None:
            return self
        return getattr(transaction.fs, self._coroutine if transaction.is_asynchronous else self._blocking)


class _BlockingOpen(_Blocking, Protocol[M_co]):
    @property
    def open(self) -> M_co: ...


class _AsyncOpen(Protocol[M_co]):
    @property
    def open_async(self) -> M_co: ...


class _Open(_Shortcut):
    @overload
    def __get__(self, transaction: _Of[_BlockingOpen[M_co]], owner: Any) -> M_co: ...
    @overload
    def __get__(self, transaction: _Of[_AsyncOpen[M_co]], owner: Any) -> M_co: ...
    def __get__(self, transaction: Any, owner: Any) -> Any:
        return self._found(transaction)


class _BlockingPut(_Blocking, Protocol[M_co]):
    @property
    def put(self) -> M_co: ...


class _AsyncPut(Protocol[M_co]):
    @property
    def _put(self) -> M_co: ...


class _Put(_Shortcut):
    @overload
    def __get__(self, transaction: _Of[_BlockingPut[M_co]], owner: Any) -> M_co: ...
    @overload
    def __get__(self, transaction: _Of[_AsyncPut[M_co]], owner: Any) -> M_co: ...
    def __get__(self, transaction: Any, owner: Any) -> Any:
        return self._found(transaction)


class _BlockingPipe(_Blocking, Protocol[M_co]):
    @property
    def pipe(self) -> M_co: ...


class _AsyncPipe(Protocol[M_co]):
    @property
    def _pipe(self) -> M_co: ...


class _Pipe(_Shortcut):
    @overload
    def __get__(self, transaction: _Of[_BlockingPipe[M_co]], owner: Any) -> M_co: ...
    @overload
    def __get__(self, transaction: _Of[_AsyncPipe[M_co]], owner: Any) -> M_co: ...
    def __get__(self, transaction: Any, owner: Any) -> Any:
        return self._found(transaction)


class _BlockingRm(_Blocking, Protocol[M_co]):
    @property
    def rm(self) -> M_co: ...


class _AsyncRm(Protocol[M_co]):
    @property
    def _rm(self) -> M_co: ...


class _Rm(_Shortcut):
    @overload
    def __get__(self, transaction: _Of[_BlockingRm[M_co]], owner: Any) -> M_co: ...
    @overload
    def __get__(self, transaction: _Of[_AsyncRm[M_co]], owner: Any) -> M_co: ...
    def __get__(self, transaction: Any, owner: Any) -> Any:
        return self._found(transaction)


class _BlockingCopy(_Blocking, Protocol[M_co]):
    @property
    def copy(self) -> M_co: ...


class _AsyncCopy(Protocol[M_co]):
    @property
    def _copy(self) -> M_co: ...


class _Copy(_Shortcut):
    @overload
    def __get__(self, transaction: _Of[_BlockingCopy[M_co]], owner: Any) -> M_co: ...
    @overload
    def __get__(self, transaction: _Of[_AsyncCopy[M_co]], owner: Any) -> M_co: ...
    def __get__(self, transaction: Any, owner: Any) -> Any:
        return self._found(transaction)


class _BlockingMv(_Blocking, Protocol[M_co]):
    @property
    def mv(self) -> M_co: ...


class _AsyncMv(Protocol[M_co]):
    @property
    def _mv(self) -> M_co: ...


class _Mv(_Shortcut):
    @overload
    def __get__(self, transaction: _Of[_BlockingMv[M_co]], owner: Any) -> M_co: ...
    @overload
    def __get__(self, transaction: _Of[_AsyncMv[M_co]], owner: Any) -> M_co: ...
    def __get__(self, transaction: Any, owner: Any) -> Any:
        return self._found(transaction)


class Shortcuts(ABC):
    """See `Transaction`."""

    open = _Open(
        "open",
        "open_async",
        "Open a file in this transaction, see ``fs.open``; ``fs.open_async`` on an asynchronous file system.",
    )
    put = _Put(
        "put", "_put", "Upload files in this transaction, see ``fs.put``; to be awaited on an asynchronous file system."
    )
    pipe = _Pipe(
        "pipe",
        "_pipe",
        "Write bytes in this transaction, see ``fs.pipe``; to be awaited on an asynchronous file system.",
    )
    rm = _Rm(
        "rm", "_rm", "Delete files in this transaction, see ``fs.rm``; to be awaited on an asynchronous file system."
    )
    cp = _Copy(
        "copy", "_copy", "Copy files in this transaction, see ``fs.cp``; to be awaited on an asynchronous file system."
    )
    mv = _Mv(
        "mv", "_mv", "Move files in this transaction, see ``fs.mv``; to be awaited on an asynchronous file system."
    )

    @property
    @abstractmethod
    def is_asynchronous(self) -> bool:
        """Whether the file system is asynchronous."""

    @property
    @abstractmethod
    def fs(self) -> Any:
        """The file system."""

    @property
    @abstractmethod
    def commits(self) -> tuple[Commit, ...]:
        """The commits that were made."""

    @property
    @abstractmethod
    def totals(self) -> Totals:
        """How much the transaction holds."""

    def _repr_html_(self) -> str:
        made = Rows(self.commits)._repr_html_() if self.commits else "<p>No commit was made yet.</p>"
        return made + self.totals._repr_html_()
