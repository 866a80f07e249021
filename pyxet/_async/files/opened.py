"""The result of ``fs.open_async``: it can be awaited, or entered with ``async with`` directly."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeVar

T_co = TypeVar("T_co", bound="_AsyncFile", covariant=True)


class _AsyncFile(Protocol):
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> Any: ...


class OpenedLater(Coroutine[Any, Any, T_co]):
    """A file that is opened when it is awaited, or by ``async with``, whose block it is open in.

    It is a coroutine object as well, so a task can be made of it.

    Parameters
    ----------
    opening:
        Opens the file.
    """

    def __init__(self, opening: Coroutine[Any, Any, T_co]) -> None:
        self._opening = opening

    def __await__(self) -> Generator[Any, Any, T_co]:
        return self._opening.__await__()

    async def __aenter__(self) -> T_co:
        self._file = await self._opening
        return self._file

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._file.__aexit__(kind, error, trace)

    def send(self, value: Any) -> Any:
        return self._opening.send(value)

    def throw(self, *error: Any) -> Any:
        return self._opening.throw(*error)

    def close(self) -> None:
        self._opening.close()

    if not TYPE_CHECKING:
        # So that type checkers report other attributes as missing.
        def __enter__(self) -> NoReturn:
            self._opening.close()
            raise TypeError("an asynchronous file: use `async with fs.open_async(path) as file`")

        def __exit__(self, *told: object) -> None:
            """Do nothing: it is never entered."""

        def __getattr__(self, name: str) -> NoReturn:
            raise AttributeError(
                f"the file is not open yet, so it has no {name!r}: use `async with fs.open_async(path) as file`, or await "
                "fs.open_async(path)"
            )
