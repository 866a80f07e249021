"""What public calls take by name: an option that a call does not have is a `TypeError` that tells the nearest right one.

Silence would be worse: a misspelt ``if_match`` guards nothing, and a misspelt ``endpoint`` writes somewhere else. What
fsspec and its users pass to any file system, and what changes nothing here, is named where a call takes it.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Final, TypeVar

from pyxet._docstrings import completed

F = TypeVar("F", bound=Callable[..., Any])

# What people write, from elsewhere, for an option whose name is not similar.
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
    """Have a public method or function refuse options that it does not have.

    Where it has a ``message``, ``commit_message`` and ``commit_description`` mean that, as `huggingface_hub` calls them.
    Its docstring is completed with what many calls have in common, see `pyxet._docstrings`.

    Parameters
    ----------
    ignored:
        Options that callers may pass, and that change nothing.
    further:
        Whether the function takes any others, too, which it passes on to somebody who knows them.
    name:
        What users call it, if that is not its name.
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
        # By this a method that users may call is known.
        made.taken = taken
        return made  # type: ignore[no-any-return]  # it is called as the function is

    return decorate


class Taken:
    """The options that a function takes.

    Parameters
    ----------
    function:
        Its named parameters count; that it collects others does not.
    ignored:
        Options that are taken and left out.
    further:
        Whether any others are taken as well.
    name:
        What users call the function, if that is not its name.
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
        # Where the message is among the arguments without names, if it may be there.
        self._message_at = next(
            (at for at, p in enumerate(parameters) if p.name == "message" and p.kind is p.POSITIONAL_OR_KEYWORD), None
        )

    def checked(self, args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The options as the function is to get them. `TypeError` if there are others."""
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
            # Blocking calls of a file system have one more.
            more = ["timeout"] if args and getattr(args[0], "asynchronous", True) is False else []
            refuse(self._name, unknown, self._options + more)
        return kept


def refuse(name: str, unknown: Iterable[str], known: Collection[str]) -> None:
    """Raise for options that a call does not have.

    Parameters
    ----------
    name:
        Of the call.
    unknown, known:
        The options that were given, and those that there are.

    Raises
    ------
    TypeError
        It tells for each option the nearest right one, if there is one, and all that there are.
    """
    # Imported where something is wrong already.
    from difflib import get_close_matches

    told = []
    for option in unknown:
        elsewhere = _ELSEWHERE.get(option, "")
        near = [elsewhere] if elsewhere in known else get_close_matches(option, known, 1)
        told.append(f"{option!r}" + (f" (did you mean {near[0]!r}?)" if near else ""))
    there = f"it takes {', '.join(known)}" if known else "it takes none"
    raise TypeError(f"{name} has no option {', '.join(told)}; {there}")


def _take_message(name: str, given: str | None, kwargs: dict[str, Any]) -> None:
    """Turn ``commit_message`` and ``commit_description`` into a ``message``; ``given`` is the one that is there."""
    title, description = kwargs.pop("commit_message", None), kwargs.pop("commit_description", None)
    if given is not None and (title is not None or description is not None):
        raise TypeError(
            f"{name}: message and commit_message (with its commit_description) are two names of one option; give one"
        )
    if description is not None and title is None:
        raise TypeError(f"{name}: commit_description needs a commit_message, its first line")
    if title is not None:
        kwargs["message"] = title if description is None else f"{title}\n\n{description}"
