"""Ranges that a server, or storage and proxies in front of it, send as ``multipart/byteranges``."""

from __future__ import annotations

from itertools import repeat
from pathlib import Path

import pytest
from aiohttp import web
from support.contents import content
from support.faults import XORB, Act, FaultProxy, answer, in_parts, ranged, world
from support.liar import head, memory_growth, raw

import pyxet
from pyxet._async.download.reconstruct import Downloader
from pyxet.errors import FormatError, IntegrityError
from pyxet.protocol.constants import MIB

SIZE = 3_000_000
DATA = bytes(range(256)) * 4
TYPE = "multipart/byteranges; boundary=b"


def body_of(*spans: tuple[int, int], tail: bytes = b"\r\n--b--\r\n") -> bytes:
    parts = [
        f"\r\n--b\r\nContent-Range: bytes {start}-{end - 1}/{len(DATA)}\r\n\r\n".encode() + DATA[start:end]
        for start, end in spans
    ]
    return b"".join(parts) + tail


# -- xorbs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [700_001, 65_536])
async def test_xorbs_come_in_parts(size: int) -> None:
    async with world() as it:
        data = content(size, SIZE)
        file = await it.store(data)
        it.proxy.clear()
        it.proxy.rule(XORB, in_parts(size))
        assert await Downloader(it.client).read(file) == data
        assert await Downloader(it.client).read(file, 1_000, 2_900_000) == data[1_000:2_900_000]
        # Two reads, each by one request: none was tried again.
        assert it.proxy.count(XORB) == 2


async def test_parts_that_break_off_are_continued_from_their_last_good_byte() -> None:
    async with world() as it:
        data = content(1_512, SIZE)
        file = await it.store(data)
        it.proxy.clear()
        it.proxy.rule(XORB, in_parts(100_000, lambda body: body[:1_234_567]), times=1)
        it.proxy.rule(XORB, in_parts(100_000))
        assert await Downloader(it.client).read(file) == data
        first, second = (item.headers["Range"] for item in it.proxy.seen if item.line.startswith("GET /v1/xorbs/"))
        start, second_start = (int(span.removeprefix("bytes=").partition("-")[0]) for span in (first, second))
        assert start + 1_200_000 < second_start < start + 1_234_567


async def test_damage_in_a_part_is_found() -> None:
    async with world() as it:
        file = await it.store(content(1_513, SIZE))
        it.proxy.rule(XORB, in_parts(100_000, lambda body: body.replace(b"bytes 100000-", b"bytes 100001-")))
        with pytest.raises(FormatError, match="parts are not valid"):
            await Downloader(it.client).read(file)
        it.proxy.clear()

        def flip(body: bytes) -> bytes:
            return body[:50_000] + bytes([body[50_000] ^ 255]) + body[50_001:]

        it.proxy.rule(XORB, in_parts(100_000, flip))
        with pytest.raises((IntegrityError, FormatError)):
            await Downloader(it.client).read(file)


def test_every_way_of_reading(through: tuple[FaultProxy, pyxet.XetFS], main: str, tmp_path: Path) -> None:
    proxy, fs = through
    data = content(1_514, 400_000)
    fs.pipe_file(f"{main}/a.bin", data)
    proxy.rule(XORB, in_parts(1_000))
    assert fs.cat_file(f"{main}/a.bin") == data
    assert fs.cat_file(f"{main}/a.bin", 10, 300_000) == data[10:300_000]
    assert fs.cat_ranges([f"{main}/a.bin"] * 2, [5, 200_000], [100, 399_999]) == [data[5:100], data[200_000:399_999]]
    with fs.open(f"{main}/a.bin") as file:
        file.seek(100_000)
        assert file.read() == data[100_000:]
    fs.get_file(f"{main}/a.bin", str(tmp_path / "a.bin"))
    assert (tmp_path / "a.bin").read_bytes() == data
    assert proxy.count(XORB) > 0


# -- any resource ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spans", [[(10, 900)], [(10, 11), (11, 899), (899, 900)]])
@pytest.mark.parametrize("more", [{}, {"Content_Range": "bytes 10-899/1024"}])
async def test_a_range_in_parts(spans: list[tuple[int, int]], more: dict[str, str]) -> None:
    """One part is as good as several, also where a header says once more which range it is."""
    async with world() as it:
        it.proxy.rule("GET /data", answer(206, body_of(*spans), Content_Type=TYPE, **more))
        assert await ranged(it, 10, 900, total=len(DATA)) == DATA[10:900]
        assert await ranged(it, 10, 900) == DATA[10:900]
        assert it.proxy.count("GET /data") == 2


async def test_the_connection_is_used_again() -> None:
    ports = set()

    async def note(proxy: FaultProxy, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        ports.add(request.transport.get_extra_info("peername")[1])
        return await answer(206, body_of((10, 20), (20, 900)), Content_Type=TYPE)(proxy, request)

    async with world() as it:
        it.proxy.rule("GET /data", note)
        for _ in range(5):
            assert await ranged(it, 10, 900) == DATA[10:900]
    assert len(ports) == 1


async def test_a_connection_that_breaks_in_the_middle_of_a_part() -> None:
    async def rest(proxy: FaultProxy, request: web.Request) -> web.StreamResponse:
        first, last = map(int, request.headers["Range"].removeprefix("bytes=").split("-"))
        return await answer(206, body_of((first, last), (last, last + 1)), Content_Type=TYPE)(proxy, request)

    async with world() as it:
        it.proxy.rule("GET /data", answer_and_break(body_of((10, 20), (20, 900)), 400), times=1)
        # In its head, too.
        it.proxy.rule("GET /data", answer_and_break(body_of((10, 20), (20, 900)), 10), times=1)
        it.proxy.rule("GET /data", rest)
        assert await ranged(it, 10, 900) == DATA[10:900]
        assert it.proxy.count("GET /data") == 3


async def test_content_that_has_come_needs_no_last_boundary() -> None:
    async with world() as it:
        it.proxy.rule("GET /data", answer(206, body_of((10, 900), tail=b""), Content_Type=TYPE))
        assert await ranged(it, 10, 900) == DATA[10:900]
        it.proxy.clear()
        whole = len(body_of((10, 900), tail=b""))
        it.proxy.rule("GET /data", answer_and_break(body_of((10, 900)), whole + 3))
        assert await ranged(it, 10, 900) == DATA[10:900]
        assert it.proxy.count("GET /data") == 1


def answer_and_break(body: bytes, at: int) -> Act:
    async def act(_: FaultProxy, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=206, headers={"Content-Type": TYPE, "Content-Length": str(len(body))})
        await response.prepare(request)
        await response.write(body[:at])
        assert request.transport is not None
        request.transport.close()
        return response

    return act


BAD: dict[str, tuple[bytes, dict[str, str], str]] = {
    "not in parts": (DATA[10:900] * 20, {}, "part 1 has not begun"),
    "no boundary": (body_of((10, 900)), {"Content_Type": "multipart/byteranges"}, "no valid boundary"),
    "a boundary of 71": (body_of((10, 900)), {"Content_Type": f"{TYPE}{'b' * 70}"}, "no valid boundary"),
    "beside it": (body_of((9, 900)), {}, "bytes 9 to 899, 10 to 899 were expected"),
    "more": (body_of((10, 901)), {}, "bytes 10 to 900, 10 to 899 were expected"),
    "less": (body_of((10, 899)), {}, "end 1 bytes before"),
    "a gap": (body_of((10, 20), (21, 900)), {}, "bytes 21 to 899, 20 to 899"),
    "the other order": (body_of((20, 900), (10, 20)), {}, "bytes 20 to 899, 10 to 899"),
    "one more": (body_of((10, 900), (900, 901)), {}, "no more were expected"),
    "compressed": (body_of((10, 900)), {"Content_Encoding": "gzip"}, "encoded"),
    "another type": (body_of((10, 900)), {"Content_Type": "multipart/mixed; boundary=b"}, "does not say which"),
}


@pytest.mark.parametrize("name", BAD)
async def test_what_is_not_the_range_is_refused_at_once(name: str) -> None:
    body, more, reason = BAD[name]
    async with world() as it:
        it.proxy.rule("GET /data", answer(206, body, **({"Content_Type": TYPE} | more)))
        with pytest.raises(FormatError, match=reason):
            await ranged(it, 10, 900)
        assert it.proxy.count("GET /data") == 1


async def test_parts_of_a_resource_of_another_size() -> None:
    async with world() as it:
        it.proxy.rule("GET /data", answer(206, body_of((10, 900)), Content_Type=TYPE))
        with pytest.raises(IntegrityError, match="1,024 bytes, 99 were expected"):
            await ranged(it, 10, 90, total=99)


@pytest.mark.parametrize(
    "piece", [b"a", b"\r\n--b\r\nContent-Range: bytes 10-10/*\r\n\r\na", b"\r\n--b\r\nX: ", b"\r\n--b\r\nX: y"]
)
async def test_parts_without_end_take_neither_memory_nor_time(piece: bytes) -> None:
    async with world() as it:
        it.proxy.rule("GET /data", raw(head(206, Content_Type=TYPE), repeat(piece * 10_000)))
        with memory_growth() as growth, pytest.raises(FormatError):
            await ranged(it, 10, 10**7)
        assert growth.bytes < 32 * MIB
        assert it.proxy.count("GET /data") == 1
