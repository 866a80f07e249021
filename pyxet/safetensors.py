"""Tensors of a safetensors file in a repository: one, some, or rows of one, without the rest of the file.

>>> file = pyxet.safetensors.open("xet://acme/model/main/model.safetensors")
>>> file.get_tensor("embeddings.weight", slice(0, 100))
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from pyxet._async.fs.filesystem import AsyncXetFileSystem
from pyxet._async.fs.paths import as_text
from pyxet._given import place_of
from pyxet._tensors import FIRST, LENGTH, Framework, Header, Index, Part, TensorInfo, header_length, import_torch
from pyxet.errors import ConfigError
from pyxet.fs import XetFS
from pyxet.options import public
from pyxet.types import Info

__all__ = ["AsyncSafetensorsFile", "SafetensorsFile", "Slice", "TensorInfo", "open", "open_async"]


class _File:
    """What both kinds of file know once the header is read."""

    def __init__(self, fs: Any, path: str, header: Header, framework: Framework) -> None:
        self._fs = fs
        self._path = path
        self._header = header
        self._framework = framework

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._path}: {len(self._header.tensors):,} tensors>"

    def __len__(self) -> int:
        return len(self._header.tensors)

    def __contains__(self, name: object) -> bool:
        return name in self._header.tensors

    def keys(self) -> list[str]:
        """The names of all tensors, as the header has them."""
        return list(self._header.tensors)

    def metadata(self) -> dict[str, str]:
        """What whoever wrote the file has noted in it; empty if nothing."""
        return dict(self._header.metadata)

    def info(self, name: str) -> TensorInfo:
        """Type, shape and place of a tensor. Nothing is read.

        Parameters
        ----------
        name:
            One of `keys`.

        Returns
        -------
        TensorInfo
            What the header says.

        Raises
        ------
        KeyError
            There is no such tensor.
        """
        try:
            return self._header.tensors[name]
        except KeyError:
            raise KeyError(f"{self._path} has no tensor {name!r}; keys() has all names") from None

    def _parts(self, names: Sequence[str], index: Index | None = None) -> list[Part]:
        return [Part(self.info(name), index) for name in names]

    def _ranges(self, parts: Sequence[Part]) -> tuple[list[str], list[int], list[int]]:
        return [self._path] * len(parts), [part.start for part in parts], [part.end for part in parts]

    def _arrays(self, parts: Sequence[Part], contents: list[Any]) -> dict[str, Any]:
        found = {}
        for number, part in enumerate(parts):
            found[part.tensor.name] = part.array(contents[number], self._framework)
            # Not all of them twice in memory.
            contents[number] = None
        return found


class SafetensorsFile(_File):
    """A safetensors file that is read in parts, blocking. `open` makes it; it needs no closing, and takes a ``with``.

    It stays on the version that it was opened at. Arrays are memory of their own.
    """

    _fs: XetFS

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def get_tensor(self, name: str, index: Index | None = None) -> Any:
        """A tensor, or a part of it.

        Parameters
        ----------
        name:
            One of `keys`.
        index:
            As in ``tensor[index]``, of numbers, ranges and ``...``. Numbers on the first axes, and a range on the next, read no
            more than they want; of what is chosen on axes after that, whole rows are read first.

        Returns
        -------
        numpy.ndarray or torch.Tensor
            As the file was opened for.

        Raises
        ------
        KeyError, IndexError
            There is no such tensor, or no such part of it.
        TypeError
            The index has something else than whole numbers, ranges and ``...``.
        ConfigError
            numpy has not the type of its values, and ml_dtypes is not installed.
        NotSupportedError
            There are no arrays of its type.
        XetError
            It cannot be read.
        """
        [part] = parts = self._parts([name], index)
        return self._arrays(parts, self._fs.cat_ranges(*self._ranges(parts), max_gap=0, on_error="raise"))[
            part.tensor.name
        ]

    def get_tensors(self, names: Sequence[str] | None = None) -> dict[str, Any]:
        """Several tensors at once: neighbours are read together, the others at the same time.

        Parameters
        ----------
        names:
            Some of `keys`; all if ``None``.

        Returns
        -------
        dict
            The tensors by their names. Errors are those of `get_tensor`.
        """
        parts = self._parts(list(dict.fromkeys(self.keys() if names is None else names)))
        return self._arrays(parts, self._fs.cat_ranges(*self._ranges(parts), max_gap=0, on_error="raise"))

    def get_slice(self, name: str) -> Slice:
        """A tensor to take parts of: ``file.get_slice(name)[:100]`` is ``file.get_tensor(name, slice(100))``.

        Parameters
        ----------
        name:
            One of `keys`.

        Returns
        -------
        Slice
            Nothing is read before a part is taken.

        Raises
        ------
        KeyError
            There is no such tensor.
        """
        return Slice(self, self.info(name))


class AsyncSafetensorsFile(_File):
    """Like `SafetensorsFile`, for coroutines. `open_async` makes it."""

    _fs: AsyncXetFileSystem

    async def get_tensor(self, name: str, index: Index | None = None) -> Any:
        """A tensor, or a part of it. See `SafetensorsFile.get_tensor`."""
        [part] = parts = self._parts([name], index)
        contents = await self._fs._cat_ranges(*self._ranges(parts), max_gap=0, on_error="raise")
        return self._arrays(parts, contents)[part.tensor.name]

    async def get_tensors(self, names: Sequence[str] | None = None) -> dict[str, Any]:
        """Several tensors at once. See `SafetensorsFile.get_tensors`."""
        parts = self._parts(list(dict.fromkeys(self.keys() if names is None else names)))
        return self._arrays(parts, await self._fs._cat_ranges(*self._ranges(parts), max_gap=0, on_error="raise"))

    def get_slice(self, name: str) -> Slice:
        """A tensor to take parts of, each to be awaited: ``await file.get_slice(name)[:100]``."""
        return Slice(self, self.info(name))


@dataclass(frozen=True, slots=True)
class Slice:
    """A tensor that parts are taken of by ``[…]``, as with the package safetensors.

    Attributes
    ----------
    file:
        Where it is.
    info:
        What the header says of it.
    """

    file: SafetensorsFile | AsyncSafetensorsFile
    info: TensorInfo

    def get_shape(self) -> list[int]:
        """Length of each axis."""
        return list(self.info.shape)

    def get_dtype(self) -> str:
        """Type of the values, as the format names it."""
        return self.info.dtype

    def __getitem__(self, index: Index) -> Any:
        if index is None:  # which adds an axis to arrays; for get_tensor it is all of them
            raise TypeError(f"{self.info.name}[None]: expected whole numbers, ranges and '...'")
        return self.file.get_tensor(self.info.name, index)


@public()
def open(
    url: Any,
    framework: Framework = "numpy",
    *,
    filesystem: XetFS | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> SafetensorsFile:
    """Open a safetensors file: its header is read, which is small, and nothing else before you ask for it.

    Parameters
    ----------
    url:
        ``xet://[endpoint:]owner/repo/branch/path``; with ``filesystem`` a path without scheme will do.
    framework:
        What arrays are made by, ``"numpy"`` or ``"torch"``.
    filesystem, storage_options:
        The file system to read from, or arguments of `XetFS` to make one with.

    Returns
    -------
    SafetensorsFile
        Names, types, shapes, metadata, and the tensors on demand.

    Raises
    ------
    FormatError
        It is no safetensors file: the header is longer than the file, or than 32 MiB, or does not fit the file.
    ConfigError
        The framework is unknown, or not installed.
    NotFoundError
        There is no such file.
    XetURLError, TypeError
        The URL, or ``filesystem``, is none to read from.
    """
    _check(framework)
    fs, path = place_of(url, filesystem, storage_options)
    info = fs.info(path)
    path, size = _pinned(fs, path, info), info["size"]
    first = fs.cat_file(path, 0, FIRST)
    length = header_length(path, first, size)
    rest = fs.cat_file(path, len(first), LENGTH + length) if LENGTH + length > len(first) else b""
    return SafetensorsFile(fs, path, Header(path, (first + rest)[LENGTH : LENGTH + length], size), framework)


@public()
async def open_async(
    url: Any,
    framework: Framework = "numpy",
    *,
    filesystem: AsyncXetFileSystem | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> AsyncSafetensorsFile:
    """Open a safetensors file, for coroutines. See `open`.

    Parameters
    ----------
    url, framework, storage_options:
        As in `open`.
    filesystem:
        The file system to read from: best one that an ``async with`` holds open. One of the running loop's own if ``None``.

    Returns
    -------
    AsyncSafetensorsFile
        Names, types, shapes, metadata, and the tensors to be awaited.

    Raises
    ------
    FormatError, ConfigError, NotFoundError, XetURLError, TypeError
        As in `open`.
    """
    _check(framework)
    if filesystem is None:
        options = AsyncXetFileSystem._get_kwargs_from_urls(as_text(url)) | dict(storage_options or {})
        filesystem = AsyncXetFileSystem(**options, asynchronous=True)
    elif not isinstance(filesystem, AsyncXetFileSystem):
        raise TypeError(f"filesystem={filesystem!r}: expected a pyxet.AsyncXetFileSystem")
    elif storage_options:
        raise TypeError("give a filesystem, or storage_options to make one with")
    found, _, _ = filesystem._parse_file(url)
    info = await filesystem._info(found.full_path)
    path, size = _pinned(filesystem, found.full_path, info), info["size"]
    first = await filesystem._cat_file(path, 0, FIRST)
    length = header_length(path, first, size)
    rest = await filesystem._cat_file(path, len(first), LENGTH + length) if LENGTH + length > len(first) else b""
    header = Header(path, (first + rest)[LENGTH : LENGTH + length], size)
    return AsyncSafetensorsFile(filesystem, path, header, framework)


def _check(framework: str) -> None:
    if framework not in ("numpy", "torch"):
        raise ConfigError(f"framework={framework!r}: expected 'numpy' or 'torch'")
    if framework == "torch":
        import_torch()


def _pinned(fs: AsyncXetFileSystem, path: str, info: Info) -> str:
    """The path with the commit in it; what is pending in a transaction is in none."""
    if info["type"] != "file":
        raise IsADirectoryError(f"{path} is a folder; expected a safetensors file")
    commit = None if info.get("pending") else info.get("commit")
    url, repo, _ = fs._parse_file(path)
    return f"{repo.path}/{commit}/{url.path}" if commit else path
