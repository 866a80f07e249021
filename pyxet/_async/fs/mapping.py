"""Files below a folder as a mapping: the result of ``fs.get_mapper``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fsspec.mapping import FSMap, maybe_convert


class XetMap(FSMap):  # type: ignore[misc]  # fsspec is not typed
    """fsspec's mapping with two differences: keys are never patterns, and only a missing file is a `KeyError`.

    Parameters
    ----------
    root:
        The folder; keys are paths below it.
    fs:
        A blocking `XetFS`.
    check, create, missing_exceptions:
        As in `fsspec.mapping.FSMap`.
    """

    def __getitem__(self, key: str, default: Any = None) -> Any:
        try:
            return self.fs.cat_file(self._key_to_str(key))
        except self.missing_exceptions as error:
            if default is not None:
                return default
            raise KeyError(key) from error

    def getitems(self, keys: Iterable[str], on_error: str = "raise") -> dict[str, Any]:
        """Read many files together.

        Parameters
        ----------
        on_error:
            ``raise`` an error (a `KeyError` for a missing file), ``omit`` the keys of missing files and raise other errors, or
            ``return`` errors as values. With ``omit``, fsspec leaves out keys after any error; who reads arrays would take a
            file that could not be read for one that was never written.
        """
        names = {key: self._key_to_str(key) for key in keys}
        found = self.fs.cat(list(names.values()), on_error="return", assume_literal=True)
        contents = {}
        for key, name in names.items():
            content = found[name]
            missing = isinstance(content, self.missing_exceptions)
            if on_error == "return":
                contents[key] = KeyError(key) if missing else content
            elif not missing:
                if isinstance(content, Exception):
                    raise content
                contents[key] = content
            elif on_error != "omit":
                raise KeyError(key) from content
        return contents

    def setitems(self, values_dict: Mapping[str, Any]) -> None:
        """Write many files in one commit."""
        self.fs.pipe({self._key_to_str(key): maybe_convert(value) for key, value in values_dict.items()})

    def __setitem__(self, key: str, value: Any) -> None:
        self.fs.pipe_file(self._key_to_str(key), maybe_convert(value))

    def delitems(self, keys: Iterable[str]) -> None:
        """Delete many files in one commit. Raises `NotFoundError` if one does not exist."""
        self.fs.rm([self._key_to_str(key) for key in keys], assume_literal=True)

    def __delitem__(self, key: str) -> None:
        try:
            self.fs.rm_file(self._key_to_str(key))
        except self.missing_exceptions as error:
            raise KeyError(key) from error

    def clear(self) -> None:
        """Delete all files in one commit."""
        self.fs.rm(self.fs.find(self.root), assume_literal=True)

    def __reduce__(self) -> Any:
        return type(self), (self.root, self.fs, False, False, self.missing_exceptions)
