"""The one type of everything that must not be seen: tokens, signed URLs, passwords of proxies."""

from __future__ import annotations

from typing import Any


class Secret:
    """A text that shows in no ``repr``, message, log line or traceback, and that does not leave the process in a pickle.

    Parameters
    ----------
    text:
        What is to be kept. `reveal` returns it, and is called where a request is put together, nowhere else. A secret
        makes another one that is the same.
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
        # Errors and reports are pickled with what they hold; whoever needs the text elsewhere hands it over on purpose.
        return Secret, ("",)
