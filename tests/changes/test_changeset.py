"""Pending changes on their own: what is asked of the endpoint for them, what they hold, and how fast they are."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from support.contents import BINARY
from support.faults import FAST, FaultProxy, World, answer, check_clean, gated, world

from pyxet._async.changes.changeset import ChangeSet
from pyxet._async.changes.edits import Edits
from pyxet._async.changes.pending import Pending
from pyxet.errors import BadRequestError, FormatError, PartialCommitError, ServerError, TransactionError
from pyxet.types import RemoteFile, UploadedContent

MIB = 1024 * 1024
PREUPLOAD = "POST .*/preupload/"


@asynccontextmanager
async def changes() -> AsyncIterator[tuple[World, Edits, ChangeSet]]:
    """Edits of a new repository, and its changes on ``main``."""
    async with world() as here:
        edits = Edits(here.client)
        try:
            yield here, edits, await edits.on(here.repo, "main")
        finally:
            await edits.discard()


async def committed(here: World) -> list[str]:
    """What the branch has now."""
    head = await here.client.hub.branch_head(here.repo, "main")
    return [
        entry.path
        async for page in here.client.hub.tree(here.repo, head, recursive=True)
        for entry in page.entries
        if entry.type == "file"
    ]


# -- the index of folders ----------------------------------------------------------------------------------------------


async def test_what_is_below_a_folder() -> None:
    async with changes() as (_, _, found):
        for path in ("a/b/c", "a/b/d", "a/e", "f"):
            await found.write(path, b"x")
        assert sorted(found.pending.under("a")) == ["a/b/c", "a/b/d", "a/e"]
        assert sorted(found.pending.under("a/b")) == ["a/b/c", "a/b/d"]
        assert sorted(found.pending.under("")) == ["a/b/c", "a/b/d", "a/e", "f"]
        assert found.pending.under("a/b/c") == found.pending.under("nope") == {}
        await found.write("a/b/c", b"again")
        await found.delete(["a/b/c"])
        assert found.pending.has_files_below("a/b")
        await found.delete(["a/b/d", "nope/x"])
        assert not found.pending.has_files_below("a/b")
        assert found.pending.has_files_below("a")
        assert not found.pending.has_files_below("f")
        # What was never in the branch is not deleted from it.
        assert sorted(found.pending.under("")) == ["a/e", "f", "nope/x"]
        assert found.pending.deletes("nope/x")
        assert not found.pending.deletes("a/b/c")
        assert not found.pending.deletes("f")


async def test_looking_does_not_go_through_all_files(monkeypatch: pytest.MonkeyPatch) -> None:
    class Counting(dict[str, Pending | None]):
        looked = 0

        def __iter__(self) -> object:  # type: ignore[override]
            raise AssertionError("all paths are gone through")

        items = keys = values = __iter__  # type: ignore[assignment]

    async with changes() as (_, _, found):
        found.pending.files = Counting()
        for number in range(200):
            found._put(f"folder/{number}/file", Pending(0, b""), None)
            assert found.pending.has_files_below(f"folder/{number}")
            assert len(found.pending.under(f"folder/{number}")) == 1
        await found.delete([f"folder/{number}/file" for number in range(200)])
        assert not found.pending.has_files_below("folder")


async def test_file_and_folder_clash() -> None:
    async with changes() as (_, _, found):
        await found.write("a/b", b"x")
        for path in ("a", "a/b/c", "a/b/c/d"):
            with pytest.raises(BadRequestError, match="file and a folder"):
                await found.write(path, b"x")
        await found.delete(["a/b"])
        await found.write("a/b/c", b"x")
        assert list(found.pending.under("a")) == ["a/b/c"]


# -- how small content is stored ---------------------------------------------------------------------------------------


async def test_the_endpoint_is_asked_in_batches() -> None:
    async with changes() as (here, edits, found):
        for number in range(600):
            await found.write(f"{number}.txt", b"%d" % number)
        assert here.proxy.count(PREUPLOAD) == 2
        await edits.commit("all")
        assert here.proxy.count(PREUPLOAD) == 3
        assert here.proxy.count("POST .*/commit/") == 1
        assert len(await committed(here)) == 600


async def test_deleting_pending_files_asks_in_batches() -> None:
    async with changes() as (here, _, found):
        paths = [f"{number}" for number in range(200)]
        for path in paths:
            await found.write(path, b"x")
        here.proxy.clear()
        await found.delete(paths)
        assert here.proxy.count("POST .*/paths-info/") == 1
        assert found.files == {}


async def test_kinds_of_pending_content() -> None:
    async with changes() as (here, edits, found):
        large, stored = os.urandom(2 * MIB), await here.store(BINARY)
        await found.write("text", b"text")
        await found.write("binary", BINARY)
        await found.write("large", large)
        await found.write("empty.bin", b"")
        await found.copy("shared", stored)
        await found.copy("copy of text", found.files["text"])  # type: ignore[arg-type]
        await found.copy("copy of large", found.files["large"])  # type: ignore[arg-type]
        assert isinstance(found.files["text"].content, bytes)  # type: ignore[union-attr]
        assert isinstance(found.files["large"].content, UploadedContent)  # type: ignore[union-attr]
        assert isinstance(found.files["shared"].content, RemoteFile)  # type: ignore[union-attr]
        await found._small.settle()
        kinds = {path: type(pending.content).__name__ for path, pending in found.files.items() if pending}
        assert kinds == {
            "text": "Spooled", "binary": "UploadedContent", "large": "UploadedContent", "empty.bin": "Spooled",
            "shared": "RemoteFile", "copy of text": "Spooled", "copy of large": "UploadedContent",
        }  # fmt: skip
        for path, data in {"text": b"text", "binary": BINARY, "large": large, "shared": BINARY}.items():
            pending = found.files[path]
            assert pending is not None
            assert await found.read(path, pending, 2, 5) == data[2:5]
        await edits.commit(None)
        assert len(await committed(here)) == 7


async def test_a_failed_question_is_asked_again() -> None:
    async with changes() as (here, edits, found):
        here.proxy.rule(PREUPLOAD, answer(500), times=FAST.attempts)
        for number in range(255):
            await found.write(f"{number}", b"%d" % number)
        with pytest.raises(ServerError):
            await found.write("255", b"255")
        await edits.commit("all the same")
        assert len(await committed(here)) == 256


async def test_an_answer_without_some_of_the_files() -> None:
    async with changes() as (here, edits, found):
        here.proxy.rule(PREUPLOAD, answer(200, b'{"files": []}'))
        await found.write("a", b"a")
        with pytest.raises(FormatError, match="how to store"):
            await edits.commit("none")
        assert await committed(here) == []


async def test_writes_while_others_wait_for_the_answer() -> None:
    async with changes() as (here, edits, found):
        await asyncio.gather(*(found.write(f"{number % 300}", b"%d" % number) for number in range(900)))
        await edits.commit("all")
        assert len(await committed(here)) == 300


# -- the end -----------------------------------------------------------------------------------------------------------


async def test_too_late() -> None:
    async with changes() as (here, edits, found):
        await found.write("a", b"a")
        pending = found.files["a"]
        assert pending is not None
        await edits.commit("all")
        for call in (
            found.write("b", b"b"), found.delete(["a"]), found.copy("b", pending), edits.on(here.repo, "main"),
            found.write("b", os.urandom(2 * MIB)), found.read("a", pending, 0, 1),
        ):  # fmt: skip
            with pytest.raises(TransactionError):
                await call


async def test_too_late_while_the_commit_is_made() -> None:
    async with changes() as (here, edits, found):
        await here.client.hub.create_branch(here.repo, "other", "main")
        await found.write("a", b"a")
        here.proxy.rule("POST .*/commit/", gated())
        committing = asyncio.create_task(edits.commit("all"))
        await here.proxy.arrival()
        for call in (found.write("b", b"b"), found.delete(["a"]), edits.on(here.repo, "other")):
            with pytest.raises(TransactionError, match="too late"):
                await call
        here.proxy.open_gate()
        assert len(await committing) == 1
        assert await committed(here) == ["a"]


async def test_a_later_branch_that_fails_for_any_reason_is_told() -> None:
    async with world() as here:
        await here.client.hub.create_branch(here.repo, "other", "main")
        here.proxy.rule("POST .*/commit/other", answer(200, b"nonsense"))
        edits = Edits(here.client)
        for branch in ("main", "other"):
            await (await edits.on(here.repo, branch)).write("a", b"a")
        with pytest.raises(PartialCommitError) as caught:
            await edits.commit("both")
        assert [path for path, _ in caught.value.made] == [f"{here.repo.path}/main"]
        assert edits.made == list(caught.value.made)


async def test_a_cancelled_commit_between_branches_still_tells() -> None:
    from support.faults import silent

    async with world() as here:
        await here.client.hub.create_branch(here.repo, "other", "main")
        here.proxy.rule("POST .*/commit/other", silent())
        edits = Edits(here.client)
        for branch in ("main", "other"):
            await (await edits.on(here.repo, branch)).write("a", b"a")
        committing = asyncio.create_task(edits.commit("both"))
        await here.proxy.arrival()
        committing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await committing
        assert [path for path, _ in edits.made] == [f"{here.repo.path}/main"]


async def test_discarding_goes_to_its_end() -> None:
    async with changes() as (here, edits, found):
        assert isinstance(here.proxy, FaultProxy)
        writer = found.writer("large")
        await writer.write(os.urandom(5 * MIB))
        await writer.discard()
        discarding = asyncio.create_task(edits.discard())
        await asyncio.sleep(0)
        discarding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await discarding
        await check_clean()
