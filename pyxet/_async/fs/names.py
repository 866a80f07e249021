"""fsspec's naming rule, in one place: what a given name means, and which names copies get.

A name that exists is that name. Only a name that does not exist and has ``*``, ``?`` or ``[`` in it is a pattern; what
`glob.escape` made of a name is the name.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from fsspec.utils import other_paths

from pyxet._async.runtime.streams import is_stream
from pyxet.errors import PyxetWarning, XetURLError
from pyxet.patterns import MAGIC, has_magic
from pyxet.urls import XetURL

_UNFINISHED: Final = re.compile(r"[^/:]*\Z")


@dataclass(slots=True)
class Expansion:
    """What the names mean that a call was given.

    Attributes
    ----------
    names:
        What is meant, sorted: names that were given, what patterns match, and what is below folders where that is asked
        for.
    literals:
        Those of ``names`` that were given as they are.
    missing:
        Given names with nothing there that match nothing either, each with its error.
    is_pattern:
        Whether one name was given, and it is a pattern.
    """

    names: list[str] = field(default_factory=list)
    literals: set[str] = field(default_factory=set)
    missing: dict[str, Exception] = field(default_factory=dict)
    is_pattern: bool = False

    def raise_missing(self) -> None:
        """Raise the error of the first name that means nothing, if there is one."""
        if self.missing:
            raise next(iter(self.missing.values()))


def one_or_list(given: Any) -> Any:
    """What a caller gives for one path or many: one path, open file or asynchronous iterator as it is, any other iterable as a list.

    Raises
    ------
    TypeError
        It is neither.
    """
    if isinstance(given, (str, os.PathLike)) or is_stream(given):
        return given
    if isinstance(given, Iterable) and not isinstance(given, (bytes, bytearray, memoryview)):
        return list(given)
    raise TypeError(f"expected a path (a str or an os.PathLike) or a list of paths, not {type(given).__name__}")


def one_or_lists(sources: Any, targets: Any) -> tuple[Any, Any]:
    """`one_or_list` of sources and targets, which belong together by their order if both are many."""
    pair = one_or_list(sources), one_or_list(targets)
    if (
        isinstance(pair[0], list)
        and isinstance(pair[1], list)
        and any(isinstance(many, (set, frozenset)) for many in (sources, targets))
    ):
        raise TypeError("the paths are a set, which has no order: give a list, as each belongs to one of the targets")
    return pair


def before_magic(text: str) -> str:
    """A path or URL without its first part that has magic and all behind it; an endpoint in front of it stays."""
    rest = text.partition("://")[2] or text
    host = rest.partition("/")[0].rfind(":") + 1
    found = MAGIC.search(text, len(text) - len(rest) + host)
    return text if found is None else _UNFINISHED.sub("", text[: found.start()])


def could_exist(url: XetURL) -> bool:
    """Whether a file or folder of a branch could have just this name: git allows no magic in branches."""
    return bool(url.path) and url.revision is not None and not has_magic(url.revision)


def leaves_out_folders(expansion: Expansion, recursive: bool, maxdepth: int | None) -> bool:
    """Whether of what one name means the folders are left out before the copies get their names.

    fsspec leaves them out of what is not deep as well. Of a folder that is named that would make a single file in it a copy
    of the folder's name.
    """
    return not recursive or (maxdepth is not None and expansion.is_pattern)


def target_names(
    sources: Sequence[str],
    target: str | Sequence[str],
    *,
    single: bool,
    is_pattern: bool,
    into_folder: bool,
    has_slash: bool,
) -> list[str]:
    """The names of the copies of ``sources``.

    Parameters
    ----------
    sources:
        What one given name (with ``single``) or several of them mean.
    target:
        Where they go; or a name for each of them.
    is_pattern, has_slash:
        Whether the given name is a pattern, or is written with a slash at its end.
    into_folder:
        Whether the target is a folder, or is written as one.

    Raises
    ------
    ValueError
        There is another number of targets than of sources.
    """
    if not isinstance(target, str):
        if len(target) != len(sources):
            raise ValueError(f"{len(sources)} sources and {len(target)} targets do not belong together")
        return list(target)
    exists = single and (len(sources) == 1 if is_pattern else into_folder and not has_slash)
    names: list[str] = other_paths(list(sources), target, exists=exists, flatten=not single)
    return names


def check_distinct(pairs: Iterable[tuple[str, str]]) -> None:
    """Raise `XetURLError` where two different sources would get one name: which of them is left would be luck."""
    taken: dict[str, str] = {}
    for source, target in pairs:
        if taken.setdefault(target, source) != source:
            raise XetURLError(
                f"{taken[target]} and {source} would both be {target}; copy one of them under another name"
            )


def check_separate(sources: Iterable[Any]) -> None:
    """Raise `ValueError` where one open file or iterator is to be two files: each would get some of its pieces."""
    seen: set[int] = set()
    for source in sources:
        if is_stream(source):
            if id(source) in seen:
                raise ValueError(
                    f"the same {type(source).__name__} is given for two files; its content can be one of them"
                )
            seen.add(id(source))


def listed_below(folder: str, names: Iterable[str]) -> bool:
    """Whether one of some names is below a folder."""
    top = f"{folder}/"
    return any(name.startswith(top) for name in names)


def warn_nothing_done(done: str, path: str) -> None:
    """Say that a call has nothing to do: what fsspec's rules make of a folder where it is not ``recursive``."""
    warnings.warn(
        f"nothing was {done}: all that is meant by {path} are folders, which need recursive=True",
        PyxetWarning,
        stacklevel=2,
    )
