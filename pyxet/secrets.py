"""The type of all texts that must not be shown: tokens, signed URLs, passwords of proxies."""

from __future__ import annotations

from typing import Any


class Secret:
    """A text that appears in no ``repr``, message, log line or traceback, and is not included in pickles.

    Parameters
    ----------
    text:
        The text, or a secret with the same text. `reveal` returns it; call that only where a request is put together.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str | Secret) -> None:
        self._text: str = text._text if isinstance(text, Secret) else text

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def __repr__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __bool__(self) -> bool:
        return bool(self._text)

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, _: object) -> Secret:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        # Errors and reports are pickled with everything they refer to. Code that needs the text in another process has to
        # pass it explicitly.
        return Secret, ("",)
