"""Runs a git process with pipes on the event loop: streams its data, and ends it with all its child processes."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from pyxet._platform import stop_group
from pyxet.server.inherited import close_in_children, has_stopped

# The most bytes of a pipe that are buffered in memory.
_WAITING: Final = 256 * 1024
# Seconds that a process gets to clean up and end.
_GRACE: Final = 10.0
# Bytes of error messages that are kept for the log.
_TOLD: Final = 4096


class GitProcess:
    """A running program with pipes. Call `start`, and then `end` in every case.

    Attributes
    ----------
    output:
        The process's output.
    questions:
        The output of its hooks; ``None`` without hooks.
    """

    def __init__(self) -> None:
        self.output = asyncio.StreamReader(_WAITING)
        self.questions: asyncio.StreamReader | None = None
        self._input: asyncio.StreamWriter | None = None
        self._answers: asyncio.StreamWriter | None = None
        self._errors = asyncio.StreamReader(_WAITING)
        self._transports: list[asyncio.BaseTransport] = []
        self._ours: list[io.FileIO] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._listening: asyncio.Task[bytes] | None = None

    async def start(
        self, arguments: Sequence[str], environment: Mapping[str, str], run: Callable[..., Any], *, hooks: bool = False
    ) -> None:
        """Start a program.

        Parameters
        ----------
        environment:
            All of its variables.
        run:
            Runs a function in a worker thread: ``await run(function, *arguments)``.
        hooks:
            Whether its hooks get two more pipes, named in ``XET_ASK`` and ``XET_ANSWER``.
        """
        theirs: list[io.FileIO] = []
        variables = dict(environment)
        try:
            stdin, stdout, stderr = self._reading(theirs), self._writing(theirs), self._writing(theirs)
            passed: list[int] = []
            if hooks:
                asking, answering = self._writing(theirs), self._reading(theirs)
                passed = [theirs[-2].fileno(), theirs[-1].fileno()]
                variables |= {"XET_ASK": f"/dev/fd/{passed[0]}", "XET_ANSWER": f"/dev/fd/{passed[1]}"}
            self._process = await run(_popen, arguments, variables, [end.fileno() for end in theirs[:3]], passed)
        finally:
            for end in theirs:
                has_stopped(end)
                end.close()
        self._input = await self._write_to(stdin)
        await self._read_from(stdout, self.output)
        await self._read_from(stderr, self._errors)
        self._listening = asyncio.ensure_future(_last_of(self._errors))
        if hooks:
            self.questions = asyncio.StreamReader(_WAITING)
            await self._read_from(asking, self.questions)
            self._answers = await self._write_to(answering)

    async def write(self, data: bytes) -> None:
        """Write to the process's input; `ConnectionError` if it has stopped reading."""
        assert self._input is not None
        if self._input.is_closing():
            raise BrokenPipeError("the process has stopped reading")
        self._input.write(data)
        await self._input.drain()

    def end_input(self) -> None:
        """Close the process's input."""
        assert self._input is not None
        self._input.close()

    async def answer(self, data: bytes) -> None:
        """Write to the hooks; `ConnectionError` if no hook reads any more."""
        assert self._answers is not None
        self._answers.write(data)
        await self._answers.drain()

    def end_answers(self) -> None:
        """Close the pipe to the hooks."""
        assert self._answers is not None
        self._answers.close()

    async def succeeds(self, run: Callable[..., Any]) -> bool:
        """Wait for a process that has closed its output; whether it ends without an error. ``run`` as in `start`."""
        assert self._process is not None
        try:
            return bool(await run(self._process.wait, _GRACE) == 0)
        except subprocess.TimeoutExpired:
            return False

    async def told(self) -> str:
        """The end of the process's error messages, once it has ended."""
        if self._listening is None:
            return ""
        with suppress(TimeoutError):
            async with asyncio.timeout(_GRACE):
                return (await asyncio.shield(self._listening)).decode(errors="replace").strip()
        return ""

    async def end(self, run: Callable[..., Any]) -> None:
        """End the process and its child processes, and close the pipes. ``run`` as in `start`."""
        # A process that has closed its output is about to end by itself.
        patience = _GRACE if self.output.at_eof() else 0.0
        for transport in self._transports:
            transport.close()
        if self._process is not None:
            await run(_ended, self._process, patience)
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait([self._listening])
        # Transports close their pipes in a later round of the loop.
        await asyncio.sleep(0)
        for end in self._ours:
            has_stopped(end)
            end.close()

    def _reading(self, theirs: list[io.FileIO]) -> io.FileIO:
        """A pipe that the process reads from; our end of it."""
        read, write = _pipe()
        theirs.append(read)
        self._ours.append(write)
        return write

    def _writing(self, theirs: list[io.FileIO]) -> io.FileIO:
        """A pipe that the process writes to; our end of it."""
        read, write = _pipe()
        theirs.append(write)
        self._ours.append(read)
        return read

    async def _read_from(self, end: io.FileIO, reader: asyncio.StreamReader) -> None:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), end)
        self._transports.append(transport)

    async def _write_to(self, end: io.FileIO) -> asyncio.StreamWriter:
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.connect_write_pipe(
            lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), end
        )
        self._transports.append(transport)
        return asyncio.StreamWriter(transport, protocol, None, loop)


async def finished(work: Awaitable[None]) -> None:
    """Wait until work has ended, also if this task is cancelled meanwhile."""
    ending = asyncio.ensure_future(work)
    try:
        await asyncio.shield(ending)
    except asyncio.CancelledError:
        await asyncio.wait([ending])
        raise


def _pipe() -> tuple[io.FileIO, io.FileIO]:
    read, write = os.pipe()
    ends = (io.FileIO(read, "rb"), io.FileIO(write, "wb"))
    for end in ends:
        close_in_children(end)
    return ends


def _popen(
    arguments: Sequence[str], environment: Mapping[str, str], standard: Sequence[int], passed: Sequence[int]
) -> subprocess.Popen[bytes]:
    stdin, stdout, stderr = standard
    # In its own session, a signal reaches git and all its child processes, and Ctrl-C in the terminal only the endpoint.
    return subprocess.Popen(
        arguments, env=environment, stdin=stdin, stdout=stdout, stderr=stderr, pass_fds=passed, cwd=os.sep,
        start_new_session=True,
    )  # fmt: skip


def _ended(process: subprocess.Popen[bytes], patience: float) -> None:
    """Wait ``patience`` seconds for a process to end by itself; then ask it to terminate, and at last kill it."""
    for step in range(3):
        if step:
            stop_group(process.pid, force=step > 1)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE if step else patience)
            return
    process.wait()


async def _last_of(reader: asyncio.StreamReader) -> bytes:
    kept = b""
    while data := await reader.read(_TOLD):
        kept = (kept + data)[-_TOLD:]
    return kept
