"""The lines that git-lfs and a transfer agent write to each other (specification of git-lfs: custom transfers)."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Mapping
from typing import IO, Any, Final

from pyxet.errors import FormatError

# Maximum length of a sensible line in bytes: a request has two URLs and a token.
_MAX_LINE: Final = 1024 * 1024


class Requests:
    """Reads requests in a daemon thread: a read from a pipe cannot be cancelled, and must not keep the process running.

    Parameters
    ----------
    stream:
        The pipe that git-lfs writes to.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._loop = asyncio.get_running_loop()
        self._found: asyncio.Queue[bytes] = asyncio.Queue()
        # Set when the pipe is closed because git-lfs has ended, perhaps while a request is being handled.
        self.ended = asyncio.Event()
        threading.Thread(target=self._read, name="git-lfs requests", daemon=True).start()

    async def next(self) -> dict[str, Any] | None:
        """The next request; ``None`` after the last.

        Raises
        ------
        FormatError
            The line is not a request.
        """
        line = await self._found.get()
        if not line:
            return None
        try:
            found = json.loads(line)
        except ValueError as error:
            raise FormatError(f"git-lfs sent a line that is not JSON: {error}") from error
        if not isinstance(found, dict) or not isinstance(found.get("event"), str):
            raise FormatError("git-lfs sent a line without an event")
        return found

    def _read(self) -> None:
        line = b"x"
        while line:
            try:
                line = self._stream.readline(_MAX_LINE)
            except (OSError, ValueError):
                line = b""
            try:
                self._loop.call_soon_threadsafe(self._found.put_nowait, line)
                if not line:
                    self._loop.call_soon_threadsafe(self.ended.set)
            except RuntimeError:
                # The event loop has been closed meanwhile.
                return


class Replies:
    """Writes replies, one line each.

    Parameters
    ----------
    stream:
        The pipe that git-lfs reads from.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def ready(self) -> None:
        """Report that the agent is ready for requests."""
        self._write({})

    def refuse(self, error: BaseException) -> None:
        """Report that the agent cannot start."""
        self._write({"error": failure(error)})

    def progress(self, oid: str, done: int, more: int) -> None:
        """Report that ``done`` bytes of an object are moved, ``more`` of them since the last report."""
        self._write({"event": "progress", "oid": oid, "bytesSoFar": done, "bytesSinceLast": more})

    def complete(self, oid: str, path: str | None = None, error: BaseException | None = None) -> None:
        """Report that an object was uploaded, or downloaded to the file ``path``, or that ``error`` prevented it."""
        found: dict[str, Any] = {"event": "complete", "oid": oid}
        if path is not None:
            found["path"] = path
        if error is not None:
            found["error"] = failure(error)
        self._write(found)

    def _write(self, message: Mapping[str, Any]) -> None:
        self._stream.write(json.dumps(message).encode() + b"\n")
        self._stream.flush()


def failure(error: BaseException) -> dict[str, Any]:
    """An error in the form of git-lfs: an HTTP status or 1, and a message of one line."""
    status = getattr(error, "status", None)
    return {"code": status if isinstance(status, int) else 1, "message": " ".join(str(error).split())}


class Progress:
    """Reports the progress of one object to git-lfs, in steps of at least 512 KiB after the first report.

    Parameters
    ----------
    size:
        Bytes of the object.
    """

    _STEP: Final = 512 * 1024

    def __init__(self, replies: Replies, oid: str, size: int) -> None:
        self._replies = replies
        self._oid = oid
        self._size = size
        self._done = 0
        self._told = 0

    def add(self, amount: int) -> None:
        """Count ``amount`` more bytes; a negative number if bytes have to be moved again."""
        self._done += amount
        if not self._told or abs(self._done - self._told) >= self._STEP:
            self._tell(min(self._done, self._size))

    def finish(self) -> None:
        """Report that all bytes are moved."""
        self._tell(self._size)

    def _tell(self, done: int) -> None:
        if done != self._told:
            more, self._told = done - self._told, done
            self._replies.progress(self._oid, done, more)
