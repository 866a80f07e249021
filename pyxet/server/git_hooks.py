"""The hooks of a push: git's hooks pass their questions to the endpoint through pipes, and the endpoint decides.

Git collects the new objects in a separate folder and calls ``pre-receive``: the endpoint checks them. Then git makes them
part of the repository and calls ``proc-receive``: the endpoint moves the references under the lock that API commits take.
If the endpoint ends, even by a crash, the pipes close; then the hooks fail and git drops the push.
"""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pyxet._platform_files import replace
from pyxet.errors import BadRequestError
from pyxet.server.git_process import GitProcess
from pyxet.server.git_push import ReferenceUpdate
from pyxet.server.git_quarantine import is_quarantine

_CHECK: Final = """#!/bin/sh
# Asks the endpoint whether it takes what is pushed.
{ echo "${GIT_QUARANTINE_PATH##*/}" && cat && echo; } >"$XET_ASK" || exit 1
while IFS= read -r line; do
    case $line in
        yes) exit 0 ;;
        no) exit 1 ;;
        *) printf '%s\\n' "${line#:}" >&2 ;;
    esac
done <"$XET_ANSWER"
exit 1
"""
_MOVE: Final = """#!/bin/sh
# Has the endpoint move the references.
exec 3<&0
cat <&3 >"$XET_ASK" &
exec cat "$XET_ANSWER"
"""
_SCRIPTS: Final = {"pre-receive": _CHECK, "proc-receive": _MOVE}
# The most references that one push may move.
_MAX_UPDATES: Final = 20_000
_END: Final = b"0000"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a push is accepted, and lines to show to the user who pushes."""

    taken: bool
    lines: Sequence[str] = ()


def install_hooks(folder: Path) -> Path:
    """Write the hooks into a folder, made if needed, and return its absolute path. Blocks."""
    folder = folder.absolute()
    folder.mkdir(mode=0o700, exist_ok=True)
    for name, text in _SCRIPTS.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            written = path.with_name(f"{name}.new")
            descriptor = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o700)
            with open(descriptor, "w", encoding="utf-8", newline="\n") as file:
                file.write(text)
            replace(written, path)
    return folder


async def answer_hooks(
    process: GitProcess,
    check: Callable[[Sequence[ReferenceUpdate], str | None], Awaitable[Verdict]],
    move: Callable[[Sequence[ReferenceUpdate], bool], Awaitable[Sequence[str | None]]],
) -> None:
    """Answer the questions of the hooks of one push.

    Parameters
    ----------
    check:
        Given the updates of a push and the name of the folder with its objects (``None`` if none), returns the verdict.
    move:
        Moves references; all or none if the second argument is true. Returns for each the reason if it did not move.
    """
    questions = process.questions
    assert questions is not None
    first = await questions.readline()
    if not first:
        return  # Git found nothing to ask for.
    quarantine = first.decode(errors="replace").strip() or None
    if quarantine is not None and not is_quarantine(quarantine):
        raise BadRequestError("git keeps the objects of this push where they are not expected", status=400)
    updates: list[ReferenceUpdate] = []
    while (line := await questions.readline()).strip():
        updates.append(ReferenceUpdate.parse(line))
        if len(updates) > _MAX_UPDATES:
            break
    if len(updates) > _MAX_UPDATES:
        verdict = Verdict(False, [f"a push moves at most {_MAX_UPDATES:,} branches and tags; push in parts"])
    else:
        verdict = await check(updates, quarantine)
    lines = [f":{_one_line(line)}" for line in verdict.lines]
    await process.answer("".join(f"{line}\n" for line in [*lines, "yes" if verdict.taken else "no"]).encode())
    if verdict.taken:
        await _answer_move(process, move)


async def _answer_move(
    process: GitProcess, move: Callable[[Sequence[ReferenceUpdate], bool], Awaitable[Sequence[str | None]]]
) -> None:
    """The conversation of githooks(5), ``proc-receive``."""
    hello = await _packets(process)
    if not hello:
        return
    version, _, features = hello[0].rstrip(b"\n").partition(b"\0")
    atomic = b"atomic" in features.split()
    if version != b"version=1":
        raise BadRequestError(f"git speaks {version!r} to its hooks, not version 1", status=400)
    await process.answer(_packet(b"version=1\0atomic\n" if atomic else b"version=1\n") + _END)
    updates = [ReferenceUpdate.parse(packet) for packet in await _packets(process)]
    reasons = await move(updates, atomic)
    told = b"".join(
        _packet(
            b"ok " + update.name if reason is None else b"ng " + update.name + b" " + _one_line(reason)[:500].encode()
        )
        for update, reason in zip(updates, reasons, strict=True)
    )
    await process.answer(told + _END)
    process.end_answers()


async def _packets(process: GitProcess) -> list[bytes]:
    """Packets up to the flush packet; an empty list if the hook has ended."""
    questions = process.questions
    assert questions is not None
    found: list[bytes] = []
    while size := await questions.read(4):
        size += await questions.readexactly(4 - len(size))
        length = int(size, 16)
        if length < 4:
            return found
        found.append(await questions.readexactly(length - 4))
        if len(found) > _MAX_UPDATES:
            raise BadRequestError("git sends too much to its hooks", status=400)
    return []


def _packet(data: bytes) -> bytes:
    return b"%04x%s" % (len(data) + 4, data)


def _one_line(text: str) -> str:
    return re.sub(r"[\x00-\x1f\x7f]+", " ", text.encode(errors="replace").decode())
