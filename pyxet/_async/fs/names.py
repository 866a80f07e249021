"""fsspec's naming rules, in one place: the paths that a given name stands for, and the names that copies get.

A name that exists stands for itself. A name that does not exist is a pattern if it has ``*``, ``?`` or ``[`` in it. A name
that `glob.escape` returned stands for the name that was escaped.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Iterable, Sequence
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
    """The paths that the names given to a call stand for.

    Attributes
    ----------
    names:
        All paths, sorted: given names, the matches of patterns, and, if the call is recursive, everything below folders.
    literals:
        Those of ``names`` that were given literally.
    missing:
        Given names that do not exist and match nothing, each with its error.
    is_pattern:
        Whether a single name was given, and it is a pattern.
    """

    names: list[str] = field(default_factory=list)
    literals: set[str] = field(default_factory=set)
    missing: dict[str, Exception] = field(default_factory=dict)
    is_pattern: bool = False

    def raise_missing(self) -> None:
        """Raise the error of the first missing name, if there is one."""
        if self.missing:
            raise next(iter(self.missing.values()))


def one_or_list(given: Any) -> Any:
    """Make a list of an iterable of paths. A single path, open file or asynchronous iterator is returned as it is.

    Raises
    ------
    TypeError
        The argument is neither a path, a file nor an iterable.
    """
    if isinstance(given, (str, os.PathLike)) or is_stream(given):
        return given
    if isinstance(given, Iterable) and not isinstance(given, (bytes, bytearray, memoryview)):
        return list(given)
    raise TypeError(f"expected a path (a str or an os.PathLike) or a list of paths, not {type(given).__name__}")


def one_or_lists(sources: Any, targets: Any) -> tuple[Any, Any]:
    """`one_or_list` for sources and targets. Two lists are matched by position.

    Raises
    ------
    TypeError
        One of two lists was given as a set.
    ValueError
        Two lists have different lengths.
    """
    pair = one_or_list(sources), one_or_list(targets)
    if isinstance(pair[0], list) and isinstance(pair[1], list):
        if any(isinstance(many, (set, frozenset)) for many in (sources, targets)):
            raise TypeError("a set of paths has no order: give a list, so that each source has its target")
        check_lengths(*pair)
    return pair


def check_lengths(sources: Sequence[Any], targets: Sequence[Any]) -> None:
    """Raise `ValueError` if there is not one target for each source."""
    if len(targets) != len(sources):
        raise ValueError(f"{len(sources)} sources and {len(targets)} targets do not belong together")


def before_magic(text: str) -> str:
    """The beginning of a path or URL, endpoint included, before its first part with a wildcard."""
    rest = text.partition("://")[2] or text
    host = rest.partition("/")[0].rfind(":") + 1
    found = MAGIC.search(text, len(text) - len(rest) + host)
    return text if found is None else _UNFINISHED.sub("", text[: found.start()])


def could_exist(url: XetURL) -> bool:
    """Whether a file or folder in a branch could have exactly this name: git allows no wildcards in branch names."""
    return bool(url.path) and url.revision is not None and not has_magic(url.revision)


def leaves_out_folders(expansion: Expansion, recursive: bool, maxdepth: int | None) -> bool:
    """Whether folders are removed from the expansion of a single name before the copies get their names.

    Unlike in fsspec, they stay if ``maxdepth`` is given with the name of a folder: if only one file were left, its copy would
    get the name of the folder.
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
        The expansion of one given name (with ``single``) or of several names.
    target:
        The file or folder that is copied to; or a list of one name for each copy.
    is_pattern, has_slash:
        Whether the given name is a pattern, or is written with a slash at its end.
    into_folder:
        Whether the target is a folder, or is written as one.

    Raises
    ------
    ValueError
        The numbers of sources and targets differ.
    """
    if not isinstance(target, str):
        check_lengths(sources, target)
        return list(target)
    exists = single and (len(sources) == 1 if is_pattern else into_folder and not has_slash)
    names: list[str] = other_paths(list(sources), target, exists=exists, flatten=not single)
    return names


def check_distinct(pairs: Iterable[tuple[str, str]]) -> None:
    """Raise `XetURLError` if two different sources would get the same name: one would overwrite the other."""
    taken: dict[str, str] = {}
    for source, target in pairs:
        if taken.setdefault(target, source) != source:
            raise XetURLError(
                f"{taken[target]} and {source} would both be {target}; copy one of them under another name"
            )


def check_once(paths: Iterable[str], normal: Callable[[str], str]) -> None:
    """Raise `XetURLError` if two paths are the same file, written in two ways: one of the contents would be lost.

    Parameters
    ----------
    normal:
        Brings a path as users write it into its normal form.
    """
    seen: set[str] = set()
    for path in map(normal, paths):
        if path in seen:
            raise XetURLError(f"two of the paths are the same file, {path}, written in two ways; give it once")
        seen.add(path)


def check_separate(sources: Iterable[Any]) -> None:
    """Raise `ValueError` if one open file or iterator is the source of two files: each would get only some of its pieces."""
    seen: set[int] = set()
    for source in sources:
        if is_stream(source):
            if id(source) in seen:
                raise ValueError(
                    f"the same {type(source).__name__} is given for two files; give one object for each file"
                )
            seen.add(id(source))


def listed_below(folder: str, names: Iterable[str]) -> bool:
    """Whether any of the names is below a folder."""
    top = f"{folder}/"
    return any(name.startswith(top) for name in names)


def warn_nothing_done(done: str, path: str) -> None:
    """Warn that a call did nothing: by fsspec's rules, folders are ignored unless the call is ``recursive``."""
    warnings.warn(
        f"nothing was {done}: {path} matches only folders, which need recursive=True",
        PyxetWarning,
        stacklevel=2,
    )
