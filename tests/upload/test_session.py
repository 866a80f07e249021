"""Uploads: deduplication, shared xorbs, shards, bounded memory, faults and cancellation."""

from __future__ import annotations

import asyncio
import gc
import os
from pathlib import Path

import pytest
from blockbuster import BlockBuster
from support.contents import content
from support.faults import (
    DIRECT,
    MIB,
    SHARD,
    UPLOAD,
    answer,
    check_clean,
    gated,
    read_back,
    shared_endpoint,
    silent,
    world,
)

from pyxet._async.client import Client, Settings
from pyxet._async.runtime.budget import WRITE_MEMORY
from pyxet._async.runtime.threads import processors
from pyxet._async.upload import session as upload
from pyxet._async.upload.content import RUN
from pyxet._async.upload.session import Uploader, _shards
from pyxet.config import Credential, Limits, RetryPolicy, Timeouts
from pyxet.errors import AccessDeniedError, ServerError, TransactionError
from pyxet.protocol.hashing import chunk_hash, file_hash
from pyxet.protocol.shard import FileEntry, ShardChunk, Term, XorbEntry, parse_shard
from pyxet.secrets import Secret

SMALL = Limits(memory=16 * MIB)


# -- deduplication -----------------------------------------------------------------------------------------------------


async def test_content_that_the_endpoint_knows_is_not_sent_again() -> None:
    async with world() as it:
        data = content(305, 6 * MIB)
        for sent in (1, 0):
            it.proxy.clear()
            uploader = it.uploader()
            stored = await uploader.add(data)
            await uploader.flush()
            await uploader.aclose()
            assert it.proxy.count(UPLOAD) == sent
            assert uploader.stats.deduplicated == (0 if sent else len(data))
        assert await read_back(it, stored) == data


async def test_a_changed_file_sends_what_is_new() -> None:
    async with world() as it:
        data = content(306, 8 * MIB)
        first, second = it.uploader(), it.uploader()
        await first.add(data)
        await first.flush()
        await first.aclose()
        changed = data[: 3 * MIB] + b"inserted" + data[3 * MIB :]
        stored = await second.add(changed)
        await second.flush()
        await second.aclose()
        assert 0 < second.stats.sent < MIB
        assert await read_back(it, stored) == changed


async def test_repeated_content_is_stored_once() -> None:
    async with world() as it:
        block = content(307, 3 * MIB)
        uploader = it.uploader()
        stored = await uploader.add(block * 4)
        await uploader.flush()
        assert uploader.stats.sent < 4 * MIB
        assert await read_back(it, stored) == block * 4
        await uploader.aclose()


async def test_many_small_files_share_a_xorb() -> None:
    async with world() as it:
        it.proxy.clear()
        uploader = it.uploader()
        datas = [content(400 + number, 1000 + number) for number in range(100)]
        found = await asyncio.gather(*(uploader.add(data) for data in datas))
        await uploader.flush()
        assert (it.proxy.count(UPLOAD), it.proxy.count(SHARD)) == (1, 1)
        for stored, data in list(zip(found, datas, strict=True))[::17]:
            assert await read_back(it, stored) == data
        # Nothing new, nothing to do.
        await uploader.flush()
        assert it.proxy.count(SHARD) == 1
        await uploader.aclose()


async def test_full_xorbs_are_sent_while_more_comes() -> None:
    async with world(limits=SMALL) as it:
        it.proxy.clear()
        data = content(308, 20 * MIB)
        uploader = it.uploader()
        stored = await uploader.add(data)
        assert it.proxy.count(UPLOAD) > 1
        await uploader.flush()
        await uploader.aclose()
        assert uploader.stats.xorbs >= 5
        assert await read_back(it, stored) == data


def test_shards_are_cut_at_their_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "MAX_SHARD_BYTES", MIB)
    value = chunk_hash(b"x")
    xorbs = [XorbEntry(value, tuple(ShardChunk(value, 1) for _ in range(800))) for _ in range(30)]
    files = [FileEntry(file_hash([(value, 1)]), (Term(value, 0, 1, 1),) * 2000, (value,) * 2000, "ab" * 32)] * 3
    shards = _shards(files, xorbs)
    assert len(shards) == 2
    assert all(len(shard) <= MIB for shard in shards)
    parsed = [parse_shard(shard) for shard in shards]
    assert [sum(len(part.xorbs) for part in parsed), sum(len(part.files) for part in parsed)] == [30, 3]


# -- failures ----------------------------------------------------------------------------------------------------------


async def test_a_xorb_that_cannot_be_stored_fails_the_session() -> None:
    async with world() as it:
        it.proxy.rule(f"{UPLOAD}|{DIRECT}", answer(403))
        uploader = it.uploader()
        await uploader.add(content(309, MIB))
        for _ in range(2):
            with pytest.raises(AccessDeniedError):
                await uploader.flush()
        with pytest.raises(AccessDeniedError):
            await uploader.add(b"more")
        await uploader.aclose()
        assert it.proxy.count(SHARD) == 0


async def test_a_flush_that_failed_can_be_repeated() -> None:
    async with world() as it:
        data = content(310, MIB)
        uploader = it.uploader()
        stored = await uploader.add(data)
        rule = it.proxy.rule(SHARD, answer(500))
        with pytest.raises(ServerError):
            await uploader.flush()
        rule.times = 0
        await uploader.flush()
        await uploader.aclose()
        assert await read_back(it, stored) == data


async def test_a_session_that_has_ended() -> None:
    async with world() as it:
        uploader = it.uploader()
        writer = uploader.writer()
        await writer.write(b"x" * 100)
        await uploader.aclose()
        await uploader.aclose()
        for late in (writer.write(b"more"), writer.close(), uploader.add(b"more"), uploader.flush()):
            with pytest.raises(TransactionError):
                await late
        await writer.discard()


async def test_discarded_content_is_part_of_no_file() -> None:
    async with world() as it:
        uploader = it.uploader()
        data = content(311, 5 * MIB)
        dropped, kept = uploader.writer(), uploader.writer()
        await dropped.write(data)
        await kept.write(data)
        await dropped.discard()
        stored = await kept.close()
        await uploader.flush()
        await uploader.aclose()
        assert uploader.stats.files == 1
        assert await read_back(it, stored) == data


# -- memory, cancellation ----------------------------------------------------------------------------------------------


async def test_cancelled_uploads_leave_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(content(312, 40 * MIB))
    async with world(limits=SMALL) as it:
        it.proxy.rule(UPLOAD, silent())
        uploader = it.uploader()
        adding = [asyncio.create_task(uploader.add(source)) for source in (path, path.read_bytes())]
        await it.proxy.arrival()
        for task in adding:
            task.cancel()
        await asyncio.wait(adding)
        assert all(task.cancelled() for task in adding)
        await uploader.aclose()
        await check_clean()


async def test_a_write_that_is_cancelled_while_another_one_goes_on_gives_back_its_memory() -> None:
    async with world() as it:
        uploader = it.uploader()
        writer = uploader.writer()
        await writer.write(b"x" * 1000)
        before = WRITE_MEMORY.in_use
        async with writer._lock:
            writing = asyncio.create_task(writer.write(bytes(3 * MIB)))
            async with asyncio.timeout(60):
                while WRITE_MEMORY.in_use == before:
                    await asyncio.sleep(0)
            writing.cancel()
            await asyncio.wait([writing])
        assert writing.cancelled()
        assert WRITE_MEMORY.in_use == before
        await uploader.aclose()


@pytest.mark.needs("pipes")
async def test_a_cancelled_read_of_a_pipe_is_not_waited_for() -> None:
    reader, writer = os.pipe()
    async with world() as it:
        with os.fdopen(reader, "rb", buffering=0) as pipe:
            uploader = it.uploader()
            adding = asyncio.create_task(uploader.add(pipe))
            os.write(writer, b"x" * 1000)
            async with asyncio.timeout(60):
                while not any(item.size for item in uploader._writers):
                    await asyncio.sleep(0)
            adding.cancel()
            await asyncio.wait([adding])
            assert adding.cancelled()
            await uploader.aclose()
            os.close(writer)


async def test_memory_stays_within_its_limit_with_many_sessions() -> None:
    highest = 0

    def watch(_: int) -> None:
        nonlocal highest
        highest = max(highest, WRITE_MEMORY.in_use)

    async with world(limits=SMALL) as it:
        uploaders = [it.uploader() for _ in range(8)]
        datas = [content(320 + number, 6 * MIB) for number in range(8)]
        found = await asyncio.gather(
            *(uploader.add(data, progress=watch) for uploader, data in zip(uploaders, datas, strict=True))
        )
        for uploader, stored, data in zip(uploaders, found, datas, strict=True):
            await uploader.flush()
            await uploader.aclose()
            assert await read_back(it, stored) == data
    # Half of the limit, a run that is granted while nothing moves, and what a run's last chunk began before it. And in each
    # worker thread a run that counts twice for a moment: its compressed chunks have places, but its content is not released yet.
    assert 0 < highest <= 8 * MIB + 2 * RUN + 8 * 128 * 1024 + (processors() + 1) * RUN


async def test_idle_sessions_give_way() -> None:
    async with world(limits=SMALL) as it:
        idle = [it.uploader() for _ in range(6)]
        writers = [uploader.writer() for uploader in idle]
        datas = [content(330 + number, 3 * MIB) for number in range(6)]
        # Open files of somebody who does something else now, more of them than there is memory for.
        for writer, data in zip(writers, datas, strict=True):
            await writer.write(data)
        busy = it.uploader()
        stored = await busy.add(content(340, 12 * MIB))
        await busy.flush()
        await busy.aclose()
        assert await read_back(it, stored) == content(340, 12 * MIB)
        for uploader, writer, data in zip(idle, writers, datas, strict=True):
            stored = await writer.close()
            await uploader.flush()
            await uploader.aclose()
            assert await read_back(it, stored) == data


async def test_sessions_of_loops_that_stand_still_do_not_block_others() -> None:
    endpoint = shared_endpoint()
    credential = Credential(endpoint.url, endpoint.user, Secret(endpoint.token))
    async with world(limits=SMALL) as it:
        loop = asyncio.new_event_loop()
        client = Client(Settings(credential, SMALL, RetryPolicy(), Timeouts()))
        uploaders = [Uploader(client.cas(it.repo), SMALL) for _ in range(2)]

        async def fill() -> None:
            for number, uploader in enumerate(uploaders):
                writer = uploader.writer()
                await writer.write(content(341 + number, 4 * MIB - 100_000))
                await writer.push()

        def end() -> None:
            for uploader in uploaders:
                loop.run_until_complete(uploader.aclose())
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

        await asyncio.to_thread(lambda: loop.run_until_complete(fill()))
        assert WRITE_MEMORY.in_use == WRITE_MEMORY.idle > 7 * MIB
        busy = it.uploader()
        await busy.add(content(346, 12 * MIB))
        await busy.flush()
        await busy.aclose()
        await asyncio.to_thread(end)


async def test_a_session_that_is_dropped_gives_its_memory_back() -> None:
    async with world() as it:
        uploader = it.uploader()
        writer = uploader.writer()
        await writer.write(b"x" * 100_000)
        assert WRITE_MEMORY.in_use == WRITE_MEMORY.idle == 100_000
        del uploader, writer
        gc.collect()
        assert WRITE_MEMORY.in_use == WRITE_MEMORY.idle == 0


async def test_flush_waits_for_its_own_content_only() -> None:
    async with world(limits=SMALL) as it:
        uploader = it.uploader()
        writer = uploader.writer()
        stored = await uploader.add(content(343, MIB))
        await uploader.flush()
        # What another file of the session sends from now on does not come through.
        it.proxy.rule(UPLOAD, gated())
        await writer.write(content(344, 6 * MIB))
        await it.proxy.arrival()
        assert await read_back(it, stored) == content(343, MIB)
        it.proxy.open_gate()
        await writer.close()
        await uploader.flush()
        await uploader.aclose()


async def test_one_request_at_a_time_is_enough() -> None:
    async with world(limits=Limits(concurrency=1, memory=16 * MIB)) as it:
        uploader = it.uploader()
        found = await asyncio.gather(*(uploader.add(content(350 + number, 5 * MIB)) for number in range(3)))
        await uploader.flush()
        await uploader.aclose()
        assert await read_back(it, found[2]) == content(352, 5 * MIB)


async def test_the_loop_is_not_blocked(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(content(345, 5 * MIB))
    async with world() as it:
        uploader = it.uploader()
        guard = BlockBuster()
        guard.activate()
        try:
            await uploader.add(path)
            await uploader.flush()
        finally:
            guard.deactivate()
        await uploader.aclose()


# -- small files -------------------------------------------------------------------------------------------------------


async def test_new_small_files_are_asked_for_less_and_less_and_known_ones_not_sent_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(upload, "READ", 256 * 1024)
    async with world() as it:
        files = [content(900 + number, 8 * 1024) for number in range(10 * 32)]
        uploader = it.uploader()
        first = await uploader.add_small(files)
        await uploader.flush()
        await uploader.aclose()
        # Ten groups: 8 files of the first one are asked for, then 4, 2, 1, of the sixth and the tenth one as well.
        assert it.proxy.count("GET /v1/chunks/") == 8 + 4 + 2 + 1 + 1 + 1
        again = it.uploader()
        assert await again.add_small(files) == first
        await again.flush()
        assert again.stats.sent == 0
        await again.aclose()
        assert [await read_back(it, stored) for stored in first[::40]] == files[::40]
