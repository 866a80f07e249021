"""Compressed answers: asked for where JSON comes, unpacked within limits, and refused where they make no sense."""

from __future__ import annotations

import gzip
import json
import zlib

import pytest
from support.faults import FAST, PLAN, RESOLVE, TOKEN, XORB, answer, world
from support.liar import memory_growth
from support.raw_client import RawClient

import pyxet
from pyxet._async.download.reconstruct import Downloader
from pyxet._async.http.packed import beginning, unpacked
from pyxet.config import RetryPolicy
from pyxet.errors import FormatError, ServerError
from pyxet.testing import LocalEndpoint

MIB = 1024 * 1024
REFS = r"GET /api/.*/refs"
NONE = b'{"branches":[],"tags":[],"converts":[]}'
ONCE = RetryPolicy(attempts=1)


def bomb(size: int) -> bytes:
    """What becomes ``size`` bytes of nothing, from a thousandth of it."""
    packer = zlib.compressobj(9, wbits=31)
    piece = b" " * MIB
    return b"".join([*(packer.compress(piece) for _ in range(size // MIB)), packer.flush()])


def test_what_is_unpacked() -> None:
    data = b"[" + b'{"path":"a"},' * 10_000
    packed = gzip.compress(data)
    assert unpacked(packed, len(data), what="asking") == data
    assert beginning(packed[:-20], 100) == data[:100]
    assert beginning(b"no gzip", 100) == b""
    for damaged in (
        packed[:-1],
        packed[: len(packed) // 2],
        packed + b"x",
        packed + packed,
        b"",
        b"x",
        data,
        packed[:-8] + bytes(8),
    ):
        with pytest.raises(FormatError, match="asking"):
            unpacked(damaged, len(data), what="asking")
    with pytest.raises(FormatError, match="the most that is read"):
        unpacked(packed, len(data) - 1, what="asking")


def test_a_bomb_is_not_unpacked() -> None:
    packed = bomb(2048 * MIB)
    assert len(packed) < 4 * MIB
    with memory_growth() as growth, pytest.raises(FormatError, match="the most that is read"):
        unpacked(packed, 4 * MIB, what="asking")
    assert growth.bytes < 64 * MIB


async def test_a_bomb_from_an_endpoint() -> None:
    packed = bomb(1024 * MIB)
    async with world(retry=ONCE) as it:
        file = await it.store(bytes(range(256)) * 1000)
        it.proxy.rule(PLAN, answer(200, packed, Content_Encoding="gzip", Content_Type="application/json"))
        it.proxy.rule(REFS, answer(200, packed, Content_Encoding="gzip", Content_Type="application/json"))
        with memory_growth() as growth:
            with pytest.raises(FormatError):
                await Downloader(it.client).read(file)
            with pytest.raises(FormatError):
                await it.client.hub.refs(it.repo)
        assert growth.bytes < 120 * MIB


@pytest.mark.parametrize(
    "body", [b"", b"x", gzip.compress(b"{}", mtime=0)[:-3], gzip.compress(b"{}", mtime=0) + b"x", NONE]
)
async def test_what_is_no_gzip(body: bytes) -> None:
    async with world() as it:
        it.proxy.rule(REFS, answer(200, body, Content_Encoding="gzip"))
        with pytest.raises(FormatError):
            await it.client.hub.refs(it.repo)


async def test_a_gzip_of_several_members() -> None:
    """Servers that compress a long answer in parts send one."""
    parts = [gzip.compress(NONE[at : at + 7]) for at in range(0, len(NONE), 7)]
    assert len(parts) > 3
    async with world() as it:
        it.proxy.rule(REFS, answer(200, b"".join(parts), Content_Encoding="gzip"))
        assert (await it.client.hub.refs(it.repo)).branches == []
        for wrong in (gzip.compress(b"") * 100_000, b"".join(parts)[:-3], b"".join(parts) + b"x"):
            it.proxy.clear()
            it.proxy.rule(REFS, answer(200, wrong, Content_Encoding="gzip"))
            with pytest.raises(FormatError, match="gzip"):
                await it.client.hub.refs(it.repo)


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", " GZIP "])
async def test_names_of_the_coding(coding: str) -> None:
    async with world() as it:
        it.proxy.rule(REFS, answer(200, gzip.compress(NONE), Content_Encoding=coding))
        assert (await it.client.hub.refs(it.repo)).branches == []


@pytest.mark.parametrize("coding", ["br", "deflate", "gzip, gzip", "zstd"])
async def test_other_codings_are_refused(coding: str) -> None:
    async with world() as it:
        it.proxy.rule(REFS, answer(200, NONE, Content_Encoding=coding))
        with pytest.raises(FormatError, match="encoded"):
            await it.client.hub.refs(it.repo)


async def test_errors_are_read_too() -> None:
    body = gzip.compress(json.dumps({"error": "the disk is on fire"}).encode())
    async with world(retry=FAST) as it:
        it.proxy.rule(REFS, answer(500, body, Content_Encoding="gzip"))
        with pytest.raises(ServerError, match="the disk is on fire"):
            await it.client.hub.refs(it.repo)
        it.proxy.clear()
        it.proxy.rule(REFS, answer(500, bomb(256 * MIB), Content_Encoding="gzip"))
        with memory_growth() as growth, pytest.raises(ServerError):
            await it.client.hub.refs(it.repo)
        assert growth.bytes < 32 * MIB


async def test_json_is_asked_for_compressed_and_content_is_not() -> None:
    async with world() as it:
        data = bytes(range(256)) * 2000
        file = await it.store(data)
        assert await Downloader(it.client).read(file) == data
        asked = {seen.line.split(" ")[1].split("?")[0]: seen.headers.get("Accept-Encoding") for seen in it.proxy.seen}
        for path, coding in asked.items():
            is_json = path.startswith("/api/") or "/reconstructions/" in path
            assert coding == ("gzip" if is_json else "identity"), path
        assert it.proxy.count(f"{TOKEN}|{PLAN}") >= 2
        assert it.proxy.count(XORB) >= 1
        assert it.proxy.count(RESOLVE) == 0


# -- the local endpoint ------------------------------------------------------------------------------------------------


def test_the_endpoint_compresses_what_is_long(shared_endpoint: LocalEndpoint, xet: pyxet.XetFS, main: str) -> None:
    xet.pipe({f"{main}/d/{number}.txt": b"x" for number in range(100)})
    client = RawClient(shared_endpoint, shared_endpoint.token)
    path = f"/api/models/{main.removesuffix('/main')}/tree/main/d"
    plain = client.get(path)
    assert "content-encoding" not in plain.headers
    for accepted in ("gzip", "gzip, deflate", "br, gzip;q=0.5", "GZIP", "deflate, x-gzip"):
        answer = client.get(path, Accept_Encoding=accepted)
        assert answer.headers["content-encoding"] == "gzip", accepted
        assert answer.headers["vary"] == "Accept-Encoding"
        assert int(answer.headers["content-length"]) == len(answer.body) < len(plain.body) / 5
        assert gzip.decompress(answer.body) == plain.body
    for accepted in ("", "identity", "br", "gzip;q=0", "gzip; q=0.000", "*;q=0"):
        assert client.get(path, Accept_Encoding=accepted).body == plain.body, accepted
    # What is short is sent as it is.
    assert "content-encoding" not in client.get("/api/whoami-v2", Accept_Encoding="gzip").headers
    assert len(xet.ls(f"{main}/d", detail=False)) == 100
