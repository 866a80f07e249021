"""Many small files at once: in few requests, each verified, with errors that stay with the file they are about."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from _faults import (
    FAST,
    MIB,
    PLAN,
    TOKEN,
    XORB,
    Act,
    World,
    answer,
    changed,
    check_clean,
    cut,
    flipped,
    gated,
    silent,
    world,
)
from _proxied import proxied
from _settled import check_budgets
from fsspec.callbacks import Callback

import pyxet
from pyxet._async.download import Downloader
from pyxet._async.many import SMALL, _decoded
from pyxet.config import Limits
from pyxet.errors import AccessDeniedError, FormatError, IntegrityError, RateLimitedError, ServerError
from pyxet.protocol.hashing import ZERO_HASH, Hash, chunk_hash, hash_from_hex, hash_to_hex
from pyxet.protocol.messages import BatchReconstruction, WireFetchV1, WireRange, WireTerm
from pyxet.protocol.reconstruction import FetchRange, Plan, fetch_runs, plans_from_batch
from pyxet.protocol.shard import Term
from pyxet.protocol.xorb import XorbBuilder, encode_chunk
from pyxet.testing import LocalEndpoint
from pyxet.types import RemoteFile

BATCH = r"GET /v1/reconstructions\Z"
V1 = r"GET /v1/reconstructions/"


def content(seed: int, size: int = 3000) -> bytes:
    return random.Random(seed).randbytes(size)


async def stored(it: World, contents: Sequence[bytes]) -> list[RemoteFile]:
    """Files that were uploaded together, so that they lie side by side in a xorb."""
    uploader = it.uploader(Limits())
    try:
        found = [await uploader.add(data) for data in contents]
        await uploader.flush()
    finally:
        await uploader.aclose()
    return [
        RemoteFile(it.repo, "main", f"{number}.bin", item.size, "", item.sha256, item.xet_hash)
        for number, item in enumerate(found)
    ]


async def read(it: World, files: Sequence[RemoteFile]) -> list[bytes | Exception]:
    return await it.client.small.read_all(files, Downloader(it.client).read)


# -- few requests ------------------------------------------------------------------------------------------------------


async def test_a_hundred_files_cost_one_plan_and_one_request_for_what_lies_together() -> None:
    async with world() as it:
        contents = [content(number) for number in range(250)]
        files = await stored(it, contents)
        it.proxy.clear()
        assert await read(it, files) == contents
        assert it.proxy.count(BATCH) == 3
        assert it.proxy.count(XORB) == 3
        assert it.proxy.count(PLAN) == 0
        assert it.proxy.count(TOKEN) <= 1


async def test_order_duplicates_and_files_of_several_chunks() -> None:
    async with world() as it:
        contents = [content(1, 600_000), content(2), content(3, 200_000)]
        first, second, third = await stored(it, contents)
        it.proxy.clear()
        files = [third, second, first, second, third]
        assert await read(it, files) == [contents[2], contents[1], contents[0], contents[1], contents[2]]
        assert it.proxy.count(BATCH) == 1
        assert await read(it, []) == []


async def test_batches_are_bounded_by_their_content_and_by_the_memory() -> None:
    async with world(limits=Limits(memory=16 * MIB)) as it:
        contents = [content(number, SMALL) for number in range(6)]
        files = await stored(it, contents)
        it.proxy.clear()
        assert await read(it, files) == contents
        assert it.proxy.count(BATCH) == 3


async def test_equal_reads_at_the_same_time_share_their_requests() -> None:
    async with world() as it:
        contents = [content(number) for number in range(20)]
        files = await stored(it, contents)
        it.proxy.clear()
        found = await asyncio.gather(*(read(it, files) for _ in range(3)))
        assert found == [contents] * 3
        assert it.proxy.count(BATCH) == 1


# -- endpoints without batches -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [404, 405, 414, 501])
async def test_an_endpoint_without_batches_is_asked_once(status: int) -> None:
    async with world() as it:
        contents = [content(number) for number in range(5)]
        files = await stored(it, contents)
        it.proxy.rule(BATCH, answer(status))
        for _ in range(2):
            assert await read(it, files) == contents
        assert await it.client.small.read(files[0], Downloader(it.client).read) == contents[0]
        assert it.proxy.count(BATCH) == 1


async def test_a_missing_file_is_not_taken_for_a_missing_route() -> None:
    async with world() as it:
        contents = [content(number) for number in range(3)]
        files = await stored(it, contents)
        absent = RemoteFile(it.repo, "main", "absent", 10, "", None, hash_to_hex(chunk_hash(b"absent")))
        it.proxy.rule(BATCH, answer(404), times=1)
        found = await read(it, [*files, absent])
        assert found[:3] == contents
        assert isinstance(found[3], IntegrityError)
        assert await read(it, files) == contents
        assert it.proxy.count(BATCH) == 2


@pytest.mark.parametrize("status", [400, 500])
async def test_an_endpoint_that_fails_at_batches_is_asked_for_single_files(status: int) -> None:
    async with world() as it:
        contents = [content(number) for number in range(3)]
        files = await stored(it, contents)
        it.proxy.rule(BATCH, answer(status))
        assert await read(it, files) == contents


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b'{"files":{"x":[]},"fetch_info":{}}', b'{"files":{},"fetch_info":{}}']
)
async def test_a_batch_that_makes_no_sense_is_not_used(body: bytes) -> None:
    async with world() as it:
        contents = [content(number) for number in range(3)]
        files = await stored(it, contents)
        it.proxy.rule(BATCH, answer(200, body))
        assert await read(it, files) == contents


@pytest.mark.parametrize(("status", "kind"), [(403, AccessDeniedError), (429, RateLimitedError), (503, ServerError)])
async def test_an_endpoint_that_refuses_is_not_asked_once_more_for_each_file(
    status: int, kind: type[Exception]
) -> None:
    async with world() as it:
        files = await stored(it, [content(number) for number in range(3)])
        it.proxy.rule(BATCH, answer(status))
        it.proxy.seen.clear()
        assert {type(item) for item in await read(it, files)} == {kind}
        assert it.proxy.count(PLAN) == 0
        assert it.proxy.count(BATCH) == (1 if status == 403 else FAST.attempts)


# -- errors stay with their files --------------------------------------------------------------------------------------


async def test_an_unknown_file_among_many() -> None:
    async with world() as it:
        contents = [content(number) for number in range(10)]
        files = await stored(it, contents)
        files.insert(5, RemoteFile(it.repo, "main", "absent", 10, "", None, hash_to_hex(chunk_hash(b"absent"))))
        it.proxy.clear()
        found = await read(it, files)
        assert isinstance(found.pop(5), IntegrityError)
        assert found == contents
        assert it.proxy.count(BATCH) == 1


async def test_a_corrupt_file_among_many() -> None:
    async with world() as it:
        contents = [content(number) for number in range(10)]
        files = await stored(it, contents)
        it.proxy.rule(XORB, changed(lambda body: body.replace(contents[4][:100], bytes(100))))
        found = await read(it, files)
        assert isinstance(found.pop(4), IntegrityError)
        assert found == contents[:4] + contents[5:]


async def test_a_size_that_the_plan_contradicts() -> None:
    async with world() as it:
        contents = [content(number) for number in range(3)]
        first, second, third = await stored(it, contents)
        wrong = RemoteFile(second.repo, "main", "wrong", second.size + 1, "", None, second.xet_hash)
        found = await read(it, [first, wrong, third])
        assert isinstance(found[1], IntegrityError)
        assert found[::2] == contents[::2]


async def test_a_hash_that_belongs_to_no_content_of_that_plan() -> None:
    async with world() as it:
        contents = [content(number) for number in range(2)]
        files = await stored(it, contents)
        names = [file.xet_hash or "" for file in files]

        def swap(body: bytes) -> bytes:
            told = json.loads(body)
            told["files"][names[0]], told["files"][names[1]] = told["files"][names[1]], told["files"][names[0]]
            return json.dumps(told).encode()

        it.proxy.rule(BATCH, changed(swap))
        assert await read(it, files) == contents
        assert it.proxy.count(PLAN) == 2


@pytest.mark.parametrize("act", [flipped(0.0), answer(403), answer(404), cut(0.5)])
async def test_a_piece_that_fails_once(act: Act) -> None:
    async with world() as it:
        contents = [content(number) for number in range(10)]
        files = await stored(it, contents)
        it.proxy.rule(XORB, act, times=1)
        assert await read(it, files) == contents
        assert it.client.cas(it.repo).batches


async def test_one_content_with_two_sizes() -> None:
    async with world() as it:
        (file, other) = await stored(it, [content(1), content(2)])
        wrong = RemoteFile(file.repo, "main", "wrong", file.size + 1, "", None, file.xet_hash)
        for files in ([file, wrong, other], [wrong, file, other]):
            found = await read(it, files)
            assert isinstance(found[files.index(wrong)], IntegrityError)
            assert [found[files.index(file)], found[2]] == [content(1), content(2)]
            found = await asyncio.gather(*map(reader(it), files), return_exceptions=True)  # type: ignore[arg-type]
            assert isinstance(found[files.index(wrong)], IntegrityError)
            assert [found[files.index(file)], found[2]] == [content(1), content(2)]


async def test_a_piece_that_does_not_come() -> None:
    async with world() as it:
        files = await stored(it, [content(number) for number in range(3)])
        it.proxy.rule(XORB, answer(503))
        it.proxy.seen.clear()
        assert {type(item) for item in await read(it, files)} == {ServerError}
        assert it.proxy.count(PLAN) == 0


async def test_more_than_was_asked_for_is_not_fetched() -> None:
    """A plan that offers a whole xorb for a small file, or the same bytes as many chunks."""
    async with world() as it:
        contents = [content(number) for number in range(40)]
        files = (await stored(it, contents))[:2]

        def inflated(body: bytes) -> bytes:
            told = msgspec.json.decode(body, type=BatchReconstruction)
            for entries in told.fetch_info.values():
                for entry in entries:
                    entry.range.end += 30
            return msgspec.json.encode(told)

        it.proxy.rule(BATCH, changed(inflated))
        it.proxy.seen.clear()
        assert await read(it, files) == contents[:2]
        assert it.proxy.count(PLAN) == 2


def test_what_chunks_decode_to_is_known_before_they_are_decoded() -> None:
    builder = XorbBuilder()
    data = bytes(100_000)
    builder.add(encode_chunk(data, chunk_hash(data)))
    builder.add(encode_chunk(data, chunk_hash(data)))
    body = b"".join(builder.build().slices)
    fetch = FetchRange("", 0, 2, 0, len(body))
    assert len(_decoded(body, fetch, 200_000)) == 2
    with pytest.raises(FormatError):
        _decoded(body, fetch, 199_999)


# -- cancellation ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pattern", [BATCH, XORB])
async def test_cancelling_leaves_nothing(pattern: str) -> None:
    async with world() as it:
        files = await stored(it, [content(number) for number in range(200)])
        it.proxy.rule(pattern, silent())
        reading = asyncio.create_task(read(it, files))
        await it.proxy.arrival()
        reading.cancel()
        await asyncio.wait([reading])
        assert reading.cancelled()
        await check_clean()


# -- single reads at the same time -------------------------------------------------------------------------------------


def reader(it: World) -> Callable[[RemoteFile], Any]:
    return lambda file: it.client.small.read(file, Downloader(it.client).read)


async def test_single_reads_of_one_turn_make_a_batch() -> None:
    async with world() as it:
        contents = [content(number) for number in range(150)]
        files = await stored(it, contents)
        it.proxy.clear()
        assert await asyncio.gather(*map(reader(it), files)) == contents
        assert it.proxy.count(BATCH) == 2
        assert it.proxy.count(PLAN) == 0
        assert not it.client.small._queues


async def test_a_read_that_is_alone_does_not_wait_for_others() -> None:
    async with world() as it:
        (file,) = await stored(it, [content(1)])
        it.proxy.clear()
        assert await reader(it)(file) == content(1)
        assert it.proxy.count(BATCH) == 0
        assert it.proxy.count(PLAN) == 1


async def test_the_same_file_for_several_who_ask() -> None:
    async with world() as it:
        contents = [content(1), content(2)]
        first, second = await stored(it, contents)
        it.proxy.clear()
        found = await asyncio.gather(*map(reader(it), [first, second, first, first]))
        assert found == [contents[0], contents[1], contents[0], contents[0]]
        assert it.proxy.count(BATCH) == 1


async def test_reads_wait_for_each_other_while_many_go_on() -> None:
    async with world() as it:
        contents = [content(number) for number in range(40)]
        files = await stored(it, contents)
        it.proxy.rule(PLAN, gated())
        asking = []
        for file in files:
            # Each in a turn of its own: eight go alone, and the others wait.
            asking.append(asyncio.create_task(reader(it)(file)))
            await asyncio.sleep(0.002)
        it.proxy.open_gate()
        assert await asyncio.gather(*asking) == contents
        assert it.proxy.count(PLAN) == 8
        assert 1 <= it.proxy.count(BATCH) <= 4


async def test_one_of_a_batch_gives_up() -> None:
    async with world() as it:
        contents = [content(number) for number in range(3)]
        files = await stored(it, contents)
        it.proxy.rule(BATCH, gated())
        asking = [asyncio.create_task(reader(it)(file)) for file in files]
        await it.proxy.arrival()
        asking[1].cancel()
        await asyncio.wait([asking[1]])
        it.proxy.open_gate()
        assert [await asking[0], await asking[2]] == contents[::2]


async def test_all_of_a_batch_give_up() -> None:
    async with world() as it:
        files = await stored(it, [content(number) for number in range(3)])
        it.proxy.rule(BATCH, silent())
        asking = [asyncio.create_task(reader(it)(file)) for file in files]
        await it.proxy.arrival()
        for task in asking:
            task.cancel()
        await asyncio.wait(asking)
        assert all(task.cancelled() for task in asking)
        await check_clean()
        assert not it.client.small._queues


async def test_giving_up_before_the_batch_begins() -> None:
    async with world() as it:
        contents = [content(number) for number in range(2)]
        files = await stored(it, contents)
        asking = [asyncio.create_task(reader(it)(file)) for file in files]
        await asyncio.sleep(0)
        asking[0].cancel()
        assert await asking[1] == contents[1]


async def test_errors_of_a_batch_reach_each_of_those_who_wait() -> None:
    async with world() as it:
        files = await stored(it, [content(number) for number in range(3)])
        it.proxy.rule(BATCH, answer(403))
        found = await asyncio.gather(*map(reader(it), files), return_exceptions=True)
        assert {type(item) for item in found} == {AccessDeniedError}


# -- through the file system -------------------------------------------------------------------------------------------


def filled(fs: pyxet.XetFS, main: str) -> dict[str, bytes]:
    """Small and large files, a text that is no Xet file, an empty one, two names of one content."""
    contents = {f"d{number % 3}/{number}.bin": content(number) for number in range(30)}
    contents |= {"big.bin": content(99, 3 * MIB), "text.txt": b"hello", "empty.bin": b"", "d0/same.bin": content(1)}
    fs.pipe({f"{main}/{name}": data for name, data in contents.items()})
    return contents


def test_mixed_files_are_read_at_once(shared_endpoint: LocalEndpoint, main: str) -> None:
    with proxied(shared_endpoint) as (proxy, fs):
        contents = filled(fs, main)
        proxy.clear()
        paths = [f"{main}/{name}" for name in contents]
        assert fs.cat(paths) == dict(zip(paths, contents.values(), strict=True))
        assert proxy.count(BATCH) == 1
        assert fs.cat([*paths, f"{main}/absent"], on_error="omit") == fs.cat(paths)
        assert fs.cat(paths, start=1, end=5) == {
            path: data[1:5] for path, data in zip(paths, contents.values(), strict=True)
        }
    check_budgets()


def test_a_folder_is_downloaded_in_few_requests(shared_endpoint: LocalEndpoint, main: str, tmp_path: Path) -> None:
    with proxied(shared_endpoint) as (proxy, fs):
        contents = filled(fs, main)
        proxy.clear()
        told: dict[str, int] = {}

        class Seen(Callback):  # type: ignore[misc]
            def branched(self, path_1: str, path_2: str, **kwargs: Any) -> Any:
                child = Callback()
                child.close = lambda: told.update({path_1: child.value})
                return child

        seen = Seen()
        fs.get(f"{main}/", f"{tmp_path}/out/", recursive=True, callback=seen)
        found = {
            str(path.relative_to(tmp_path / "out")): path.read_bytes()
            for path in (tmp_path / "out").rglob("*")
            if path.is_file()
        }
        assert found == contents
        assert proxy.count(BATCH) == 1
        assert seen.value == seen.size
        assert told == {f"{main}/{name}": len(data) for name, data in contents.items()}
    check_budgets()


def test_what_an_earlier_download_left_goes(shared_endpoint: LocalEndpoint, main: str, tmp_path: Path) -> None:
    with proxied(shared_endpoint) as (_, fs):
        fs.pipe({f"{main}/{name}": content(number) for number, name in enumerate(("a", "b"))})
        part = tmp_path / f".a.{'0' * 16}.part"
        part.write_bytes(b"x")
        part.with_name(f"{part.name}.journal").write_bytes(b"y")
        (tmp_path / "b").write_bytes(b"old")
        fs.get([f"{main}/a", f"{main}/b"], [str(tmp_path / "a"), str(tmp_path / "b")])
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": content(0), "b": content(1)}


def test_a_corrupt_file_of_a_folder_does_not_appear(shared_endpoint: LocalEndpoint, main: str, tmp_path: Path) -> None:
    with proxied(shared_endpoint) as (proxy, fs):
        fs.pipe({f"{main}/{number}": content(number) for number in range(5)})
        proxy.rule(XORB, changed(lambda body: body.replace(content(3)[:100], bytes(100))))
        with pytest.raises(IntegrityError):
            fs.get(f"{main}/", str(tmp_path), recursive=True)
        left = {path.name for path in tmp_path.iterdir()}
        assert "3" not in left
        assert not any(name.endswith((".part", ".journal")) for name in left)
    check_budgets()


def test_a_target_that_cannot_be_written(shared_endpoint: LocalEndpoint, main: str, tmp_path: Path) -> None:
    with proxied(shared_endpoint) as (_, fs):
        fs.pipe({f"{main}/{number}": content(number) for number in range(3)})
        (tmp_path / "1" / "x").mkdir(parents=True)
        with pytest.raises(IsADirectoryError):
            fs.get([f"{main}/{number}" for number in range(3)], [str(tmp_path / f"{number}") for number in range(3)])
    check_budgets()


# -- plans of a batch --------------------------------------------------------------------------------------------------


def wire(start: int, end: int) -> WireRange:
    return WireRange(start=start, end=end)


def test_plans_of_a_batch_share_fetches() -> None:
    xorb, files = hash_to_hex(chunk_hash(b"xorb")), [hash_to_hex(chunk_hash(bytes([number]))) for number in range(3)]
    message = BatchReconstruction(
        files={
            files[0]: [WireTerm(hash=xorb, unpacked_length=10, range=wire(0, 1))],
            files[1]: [WireTerm(hash=xorb, unpacked_length=20, range=wire(1, 3))],
            files[2]: [],
        },
        fetch_info={xorb: [WireFetchV1(range=wire(0, 3), url="u", url_range=wire(0, 99))]},
    )
    plans = plans_from_batch(message)
    first, second, third = (plans[hash_from_hex(name)] for name in files)
    assert isinstance(first, Plan)
    assert isinstance(second, Plan)
    assert first.terms[0].fetch == second.terms[0].fetch == FetchRange("u", 0, 3, 0, 100)
    assert (first.raw_length, second.raw_length, third) == (10, 20, Plan(0, ()))


def test_what_makes_no_sense_in_a_batch_is_the_error_of_its_files() -> None:
    good, bad = hash_to_hex(chunk_hash(b"good")), hash_to_hex(chunk_hash(b"bad"))
    files = [hash_to_hex(chunk_hash(bytes([number]))) for number in range(4)]
    message = BatchReconstruction(
        files={
            files[0]: [WireTerm(hash=good, unpacked_length=10, range=wire(0, 1))],
            files[1]: [WireTerm(hash=bad, unpacked_length=10, range=wire(0, 1))],
            files[2]: [WireTerm(hash=good, unpacked_length=10, range=wire(5, 6))],
            files[3]: [WireTerm(hash=good, unpacked_length=0, range=wire(0, 1))],
        },
        fetch_info={
            good: [WireFetchV1(range=wire(0, 1), url="u", url_range=wire(0, 50))],
            bad: [WireFetchV1(range=wire(3, 1), url="u", url_range=wire(0, 50))],
        },
    )
    plans = [plans_from_batch(message)[hash_from_hex(name)] for name in files]
    assert [type(plan) for plan in plans] == [Plan, FormatError, FormatError, FormatError]


def test_runs_do_not_grow_beyond_what_is_asked() -> None:
    value: Hash = chunk_hash(b"xorb")
    terms = [Term(value, number, number + 1, 10) for number in range(5)]
    assert fetch_runs(terms) == {value: [(0, 5)]}
    assert fetch_runs(terms, max_raw=25) == {value: [(0, 2), (2, 4), (4, 5)]}
    assert fetch_runs([*terms, terms[1]], max_raw=25) == {value: [(0, 2), (2, 4), (4, 5)]}
    assert fetch_runs([Term(value, 0, 3, 90), *terms], max_raw=25) == {value: [(0, 3), (3, 5)]}


# -- the local endpoint's route ----------------------------------------------------------------------------------------


async def ask(it: World, query: str) -> tuple[int, Any]:
    token = await it.client.hub.xet_token(it.repo, "main", "read")
    async with (
        aiohttp.ClientSession() as session,
        session.get(
            f"{it.endpoint.url}/v1/reconstructions{query}", headers={"Authorization": f"Bearer {token.access_token}"}
        ) as response,
    ):
        return response.status, await response.json()


async def test_the_route_of_batches() -> None:
    async with world() as it:
        files = await stored(it, [content(number) for number in range(3)])
        names = [file.xet_hash or "" for file in files]
        status, told = await ask(
            it, "?" + "&".join(f"file_id={name}" for name in [*names, "f" * 64, hash_to_hex(ZERO_HASH)])
        )
        assert status == 200
        assert set(told["files"]) == {*names, hash_to_hex(ZERO_HASH)}
        assert told["files"][hash_to_hex(ZERO_HASH)] == []
        ((fetch,),) = told["fetch_info"].values()
        assert fetch["range"] == {"start": 0, "end": 3}
        assert await ask(it, "") == (200, {"files": {}, "fetch_info": {}})
        assert (await ask(it, "?file_id=x"))[0] == 400
        assert (await ask(it, "?file_id=" + "A" * 64))[0] in (200, 400)


async def test_the_route_needs_a_token() -> None:
    async with (
        world() as it,
        aiohttp.ClientSession() as session,
        session.get(f"{it.endpoint.url}/v1/reconstructions?file_id={'0' * 64}") as response,
    ):
        assert response.status == 401
