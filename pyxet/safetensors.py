"""Read single tensors, or rows of a tensor, from a safetensors file in a repository, without the rest of the file.

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
    """Base of both kinds of file, with the parsed header."""

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
        """The names of all tensors, in the order of the header."""
        return list(self._header.tensors)

    def metadata(self) -> dict[str, str]:
        """The metadata that the writer of the file put into its header; may be empty."""
        return dict(self._header.metadata)

    def info(self, name: str) -> TensorInfo:
        """Type, shape and byte range of a tensor; nothing is read.

        Parameters
        ----------
        name:
            One of `keys`.

        Returns
        -------
        TensorInfo
            The tensor as the header describes it.

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
            # Drop each buffer at once, so that not all content is in memory twice.
            contents[number] = None
        return found


class SafetensorsFile(_File):
    """A safetensors file that is read in parts, blocking; `open` returns it. It need not be closed, but can be used in ``with``.

    It always reads the version that it was opened at. Arrays are copies, which may be written to.
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
            As in ``tensor[index]``: numbers, ranges and ``...``. For numbers on the first axes and a range on the next one,
            no more is read than these select; for an index on later axes, whole rows are read first.

        Returns
        -------
        numpy.ndarray or torch.Tensor
            Depending on the ``framework`` of `open`.

        Raises
        ------
        KeyError, IndexError
            There is no such tensor, or no such part of it.
        TypeError
            The index has something other than whole numbers, ranges and ``...``.
        ConfigError
            numpy itself does not have the type of the values, and ml_dtypes is not installed.
        NotSupportedError
            The framework has no arrays of the type.
        XetError
            The file cannot be read.
        """
        [part] = parts = self._parts([name], index)
        return self._arrays(parts, self._fs.cat_ranges(*self._ranges(parts), max_gap=0, on_error="raise"))[
            part.tensor.name
        ]

    def get_tensors(self, names: Sequence[str] | None = None) -> dict[str, Any]:
        """Several tensors at once: adjacent ones are read together, others concurrently.

        Parameters
        ----------
        names:
            Some of `keys`; all if ``None``.

        Returns
        -------
        dict
            The tensors by name. Errors are those of `get_tensor`.
        """
        parts = self._parts(list(dict.fromkeys(self.keys() if names is None else names)))
        return self._arrays(parts, self._fs.cat_ranges(*self._ranges(parts), max_gap=0, on_error="raise"))

    def get_slice(self, name: str) -> Slice:
        """A tensor that can be indexed: ``file.get_slice(name)[:100]`` is ``file.get_tensor(name, slice(100))``.

        Parameters
        ----------
        name:
            One of `keys`.

        Returns
        -------
        Slice
            Nothing is read until it is indexed.

        Raises
        ------
        KeyError
            There is no such tensor.
        """
        return Slice(self, self.info(name))


class AsyncSafetensorsFile(_File):
    """Like `SafetensorsFile`, for coroutines; `open_async` returns it."""

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
        """A tensor that can be indexed; each part has to be awaited: ``await file.get_slice(name)[:100]``."""
        return Slice(self, self.info(name))


@dataclass(frozen=True, slots=True)
class Slice:
    """A tensor whose parts are read by ``[…]``, as with the package safetensors.

    Attributes
    ----------
    file:
        The file that has the tensor.
    info:
        The tensor as the header describes it.
    """

    file: SafetensorsFile | AsyncSafetensorsFile
    info: TensorInfo

    def get_shape(self) -> list[int]:
        """Length of each axis."""
        return list(self.info.shape)

    def get_dtype(self) -> str:
        """Type of the values, by its name in the format."""
        return self.info.dtype

    def __getitem__(self, index: Index) -> Any:
        if index is None:  # for arrays this adds an axis; get_tensor would take it for the whole tensor
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
    """Open a safetensors file. Only its header is read, which is small; tensors are read when you request them.

    Parameters
    ----------
    url:
        ``xet://[endpoint:]owner/repo/branch/path``; with ``filesystem`` also a path without scheme.
    framework:
        The library that makes the arrays, ``"numpy"`` or ``"torch"``.
    filesystem, storage_options:
        The file system to read from, or arguments of `XetFS` to make one with.

    Returns
    -------
    SafetensorsFile
        Names, types, shapes, metadata, and the tensors on demand.

    Raises
    ------
    FormatError
        It is not a safetensors file: the header is longer than the file or than 32 MiB, or does not match the file.
    ConfigError
        The framework is unknown or not installed.
    NotFoundError
        There is no such file.
    XetURLError, TypeError
        The URL or ``filesystem`` cannot be read from.
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
        The file system to read from, preferably one opened by ``async with``; ``None`` for one of the running loop.

    Returns
    -------
    AsyncSafetensorsFile
        Names, types, shapes, metadata, and coroutines for the tensors.

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
    """The path with the commit in place of the branch; unchanged for a file that is pending in a transaction."""
    if info["type"] != "file":
        raise IsADirectoryError(f"{path} is a folder; expected a safetensors file")
    commit = None if info.get("pending") else info.get("commit")
    url, repo, _ = fs._parse_file(path)
    return f"{repo.path}/{commit}/{url.path}" if commit else path
