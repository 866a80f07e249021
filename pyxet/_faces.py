"""Descriptors that make blocking methods from coroutines: with their signatures, picklable, and aware of overrides."""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from types import MethodType
from typing import Any, TypeVar

from pyxet._async.changes.file_write import start_on
from pyxet._async.fs.base import FileSystemBase

T = TypeVar("T")


class _Face:
    """Base of both descriptors. It holds a plain function, so that ``fs.size`` is a bound method like any other.

    Bound methods can be pickled, as process pools do with the functions that they run.
    """

    call: Callable[..., Any]
    coroutine: str

    def __init__(self, method: Callable[..., Any]) -> None:
        self.coroutine = method.__name__
        self.call = functools.wraps(method)(self._made())
        self.__doc__ = method.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.call.__name__, self.call.__qualname__ = name, f"{owner.__qualname__}.{name}"
        self.call.__module__ = owner.__module__

    def __get__(self, instance: FileSystemBase | None, owner: type) -> Callable[..., Any]:
        return self.call if instance is None else MethodType(self.call, instance)

    def _made(self) -> Callable[..., Any]:
        raise NotImplementedError


class Blocking(_Face):
    """A blocking method made from a coroutine function of `AsyncXetFileSystem`."""

    def _made(self) -> Callable[..., Any]:
        # Looked up by name at each call, so that a subclass's override of the coroutine is used.
        name = self.coroutine

        def call(fs: FileSystemBase, /, *args: Any, **kwargs: Any) -> Any:
            method: Callable[..., Coroutine[Any, Any, Any]] = getattr(fs, name)
            return fs._block_on(method, *args, **kwargs)

        return call


class BlockingIterator(_Face):
    """A blocking generator method made from an asynchronous one; ``timeout`` applies to each item."""

    def _made(self) -> Callable[..., Iterator[Any]]:
        name = self.coroutine

        def call(fs: FileSystemBase, /, *args: Any, timeout: float | None = None, **kwargs: Any) -> Iterator[Any]:
            # The method is called here, so that wrong arguments raise at once and not with the first item.
            return following(fs, getattr(fs, name)(*args, **kwargs), timeout)

        def following(fs: FileSystemBase, items: AsyncGenerator[T, None], timeout: float | None) -> Iterator[T]:
            async def one() -> T:
                return await anext(items)

            while True:
                try:
                    item = fs._block_on(one, timeout=timeout)
                except StopAsyncIteration:
                    return
                try:
                    yield item
                except BaseException:
                    # Close the asynchronous generator now: what it reads ahead would stay until it is collected. This
                    # generator may be closed on any thread, so `aclose` is started on the file system's loop.
                    start_on(fs.loop, items.aclose)
                    raise

        return call


class Alias:
    """Another name of a method, such as fsspec's ``cp`` for ``copy``."""

    def __init__(self, target: str) -> None:
        self.target = target

    def __get__(self, instance: object, owner: type) -> Any:
        return getattr(owner if instance is None else instance, self.target)
