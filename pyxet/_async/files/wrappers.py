"""Wrappers that ``fs.open`` puts around a file for writing: text, compression, archives.

If the block raises, the wrapper discards the file beneath it. A wrapper that is collected unclosed publishes nothing.
"""

from __future__ import annotations

import io
from contextlib import suppress
from types import TracebackType
from typing import Any, Self
from zipfile import ZipFile

from pyxet._async.changes.buffers import as_bytes
from pyxet._async.files.write import TextBeneath, XetWriteFile


class _Archive(ZipFile):
    """An archive that `ZippedMember` closes. `ZipFile` itself would raise when it is collected together with its member."""

    def __del__(self) -> None:
        pass


class ZippedMember(io.BufferedIOBase):
    """The one member of a zip archive as fsspec's codec ``zip`` makes it. Closing it closes the archive."""

    def __init__(self, raw: XetWriteFile) -> None:
        self._archive = _Archive(raw, "w")
        self._member = self._archive.open("file", "w")

    def write(self, data: Any) -> int:
        """Add bytes to the member."""
        return self._member.write(data)

    def tell(self) -> int:
        """Bytes of uncompressed content so far."""
        return self._member.tell()

    def close(self) -> None:
        """End the member and the archive."""
        try:
            self._member.close()
        finally:
            try:
                self._archive.close()
            finally:
                super().close()


class CompressedWriter(TextBeneath, io.BufferedIOBase):
    """A compressing wrapper that closes the file beneath it, which the codecs of the standard library leave open.

    Parameters
    ----------
    inner:
        The codec's file object, which writes to ``raw``.
    """

    def __init__(self, inner: Any, raw: XetWriteFile) -> None:
        self._inner = inner
        self._raw = raw
        # Not the codec's position: it does not know what an append found, and some codecs do not count.
        self._position = raw.began_at

    def write(self, data: Any) -> int:
        """Compress bytes."""
        view = as_bytes(data)
        # Some codecs accept only bytes.
        self._inner.write(data if isinstance(data, bytes) else view)
        self._position += view.nbytes
        return view.nbytes

    def flush(self) -> None:
        """Have the codec write what it holds to the file beneath."""
        if not self.closed:
            self._inner.flush()

    def tell(self) -> int:
        """Bytes of uncompressed content so far, including those that an append found."""
        return self._position

    @property
    def closed(self) -> bool:
        """Whether the file beneath is closed."""
        return bool(self._raw.closed)

    def close(self) -> None:
        """End the compressed stream and the file."""
        if self.closed:
            self._end_codec()
            return
        try:
            self._inner.close()
        except BaseException:
            self._raw.discard()
            raise
        self._raw.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and not self.closed:
            self._raw.__exit__(kind, error, trace)
        self.close()

    def _end_codec(self) -> None:
        """End the codec, if it has not ended. The file was discarded, so its errors do not matter."""
        with suppress(Exception):
            self._inner.close()

    def _dealloc_warn(self, source: object) -> None:
        self._raw._dealloc_warn(source)

    def __del__(self) -> None:
        raw = getattr(self, "_raw", None)
        if raw is not None:
            try:
                raw._dealloc_warn(self)
            finally:
                self._end_codec()


class XetTextFile(io.TextIOWrapper):
    """Text over a file for writing; a block that raises discards the file."""

    def __init__(self, beneath: XetWriteFile | CompressedWriter, **options: Any) -> None:
        super().__init__(beneath, **options)  # type: ignore[arg-type]  # it is a buffer in all that matters here
        self._beneath = beneath

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and not self.closed:
            self._beneath.__exit__(kind, error, trace)
        self.close()
