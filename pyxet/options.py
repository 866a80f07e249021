"""Checks of the options of public calls: an unknown option raises a `TypeError` that suggests the nearest known one.

To ignore it would be worse: a misspelt ``if_match`` guards nothing, and a misspelt ``endpoint`` writes somewhere else.
Options that fsspec and its users pass to any file system, and that have no effect here, are listed at each call.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Final, TypeVar

from pyxet._docstrings import completed

F = TypeVar("F", bound=Callable[..., Any])

# Options of other libraries, and the options here that mean the same but have no similar name.
_ELSEWHERE: Final = {
    "progress_bar": "progress",
    "overwrite": "mode",
    "exist_ok": "mode",
    "exists_ok": "mode",
    "revision": "parent_commit",
    "if_none_match": "mode",
    "etag": "if_match",
    "cache": "cache_type",
    "username": "user",
    "host": "endpoint",
    "hf_token": "token",
}


def public(*ignored: str, further: bool = False, name: str | None = None) -> Callable[[F], F]:
    """Make a public method or function refuse unknown options.

    If it has the option ``message``, it also accepts huggingface_hub's ``commit_message`` and ``commit_description`` for it.
    Its docstring is completed with the descriptions that many calls share, see `pyxet._docstrings`.

    Parameters
    ----------
    ignored:
        Options that callers may pass, but that have no effect.
    further:
        Whether the function accepts any other options, which it passes on to another library.
    name:
        The name that users know, if it is not that of the function.
    """

    def decorate(function: F) -> F:
        taken = Taken(function, ignored, further=further, name=name)
        call: Callable[..., Any]
        if inspect.iscoroutinefunction(function):

            async def call(*args: Any, **kwargs: Any) -> Any:
                return await function(*args, **taken.checked(args, kwargs))

        else:

            def call(*args: Any, **kwargs: Any) -> Any:
                return function(*args, **taken.checked(args, kwargs))

        made: Any = functools.wraps(function)(call)
        made.__doc__ = completed(function)
        # This attribute marks public methods.
        made.taken = taken
        return made  # type: ignore[no-any-return]  # it has the function's signature

    return decorate


class Taken:
    """The options that a function accepts.

    Parameters
    ----------
    function:
        The function. Only its named parameters count, even if it has ``**kwargs``.
    ignored:
        Options that are accepted, but not passed to the function.
    further:
        Whether any other options are accepted as well.
    name:
        The name that users know, if it is not that of the function.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        ignored: Collection[str] = (),
        *,
        further: bool = False,
        name: str | None = None,
    ) -> None:
        self._further = further
        parameters = list(inspect.signature(function).parameters.values())
        self._name = name or function.__name__.lstrip("_")
        named = (p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY))
        self._accepted = frozenset(named) - {"self"}
        self._options = [p.name for p in parameters if p.name in self._accepted and p.default is not p.empty]
        self._ignored = frozenset(ignored)
        # Index of ``message`` among the positional arguments; ``None`` if it cannot be positional.
        self._message_at = next(
            (at for at, p in enumerate(parameters) if p.name == "message" and p.kind is p.POSITIONAL_OR_KEYWORD), None
        )

    def checked(self, args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The options to pass to the function; raises `TypeError` for unknown ones."""
        if kwargs.keys() <= self._accepted:
            return kwargs
        kept = {name: value for name, value in kwargs.items() if name not in self._ignored or name in self._accepted}
        if "message" in self._accepted:
            given = kept.get("message")
            if given is None and self._message_at is not None and self._message_at < len(args):
                given = args[self._message_at]
            _take_message(self._name, given, kept)
        unknown = [name for name in kept if name not in self._accepted]
        if unknown and not self._further:
            # Blocking methods of a file system have ``timeout`` as well.
            more = ["timeout"] if args and getattr(args[0], "asynchronous", True) is False else []
            refuse(self._name, unknown, self._options + more)
        return kept


def refuse(name: str, unknown: Iterable[str], known: Collection[str]) -> None:
    """Raise the error for unknown options.

    Parameters
    ----------
    name:
        Name of the call.
    unknown, known:
        The unknown options that were given, and all options of the call.

    Raises
    ------
    TypeError
        Always. The message names, for each unknown option, the nearest known one, if any, and then all known options.
    """
    # Imported only when there is an error.
    from difflib import get_close_matches

    told = []
    for option in unknown:
        elsewhere = _ELSEWHERE.get(option, "")
        near = [elsewhere] if elsewhere in known else get_close_matches(option, known, 1)
        told.append(f"{option!r}" + (f" (did you mean {near[0]!r}?)" if near else ""))
    there = f"it takes {', '.join(known)}" if known else "it takes none"
    raise TypeError(f"{name} has no option {', '.join(told)}; {there}")


def _take_message(name: str, given: str | None, kwargs: dict[str, Any]) -> None:
    """Turn ``commit_message`` and ``commit_description`` into ``message``; ``given`` is a message that was passed itself."""
    title, description = kwargs.pop("commit_message", None), kwargs.pop("commit_description", None)
    if given is not None and (title is not None or description is not None):
        raise TypeError(
            f"{name}: message and commit_message (with its commit_description) are two names of one option; give one"
        )
    if description is not None and title is None:
        raise TypeError(f"{name}: commit_description needs a commit_message, its first line")
    if title is not None:
        kwargs["message"] = title if description is None else f"{title}\n\n{description}"
