"""Answers that do not end, are no HTTP, come one byte a second, or lead nowhere: bounded memory and time, typed errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from itertools import count, repeat
from typing import Any

import pytest
from support.faults import FAST, WHOAMI, Act, World, answer, changed, get, ranged, world
from support.liar import GIB, endless, head, memory_growth, raw, slowly

from pyxet._async.http import transport
from pyxet._async.http.addresses import web_address
from pyxet._async.http.messages import SpeedCheck, retry_after
from pyxet._async.http.partial import reader_of
from pyxet.config import RetryPolicy, Timeouts
from pyxet.errors import (
    ConfigError,
    ConnectionFailedError,
    FormatError,
    RateLimitedError,
    RequestTimeoutError,
    ServerError,
    XetError,
)
from pyxet.protocol.constants import MIB
from pyxet.protocol.hashing import hash_from_hex
from pyxet.protocol.messages import DuplicateFile, PreuploadFile
from pyxet.protocol.xorb import XorbBuilder, encode_chunk

# Twice: what makes a client try again must come to an end, too.
TWICE = RetryPolicy(attempts=2, base_delay=0.001, max_delay=0.002)
SOON = Timeouts(connect=2, response=0.5, progress=0.3)
HASH = hash_from_hex("ab" * 32)


async def all_of(pages: Any) -> list[Any]:
    return [page async for page in pages]


def small_xorb() -> Any:
    builder = XorbBuilder()
    builder.add(encode_chunk(b"content", HASH))
    return builder.build()


# -- answers without end -----------------------------------------------------------------------------------------------

CALLS: dict[str, Callable[[World], Any]] = {
    "whoami": lambda it: it.client.hub.whoami(),
    "refs": lambda it: it.client.hub.refs(it.repo),
    "repo": lambda it: it.client.hub.repo_info(it.repo, "main"),
    "repos": lambda it: all_of(it.client.hub.list_repos("acme", "models")),
    "tree": lambda it: all_of(it.client.hub.tree(it.repo, "main", "data", recursive=True)),
    "log": lambda it: all_of(it.client.hub.commits(it.repo, "main")),
    "paths": lambda it: it.client.hub.paths_info(it.repo, "main", ["a", "b"]),
    "preupload": lambda it: it.client.hub.preupload(it.repo, "main", [PreuploadFile(path="a", size=1)]),
    "commit": lambda it: it.client.hub.commit(it.repo, "main", [b"{}"]),
    "duplicate": lambda it: it.client.hub.duplicate_repo(it.repo, it.repo, private=None),
    "share": lambda it: it.client.hub.duplicate_files(it.repo, it.repo, [DuplicateFile(xet_hash="", sha256="")]),
    "token": lambda it: it.client.hub.xet_token(it.repo, "main", "read"),
    "plan": lambda it: it.client.cas(it.repo).reconstruction(HASH, 0, 100),
    "xorb": lambda it: it.client.cas(it.repo).upload_xorb(small_xorb()),
    "shard": lambda it: it.client.cas(it.repo).upload_shard(b"shard"),
}
# Where the client goes on without the answer.
OPTIONAL: dict[str, Callable[[World], Any]] = {
    "batch": lambda it: it.client.cas(it.repo).reconstructions([HASH]),
    "chunk": lambda it: it.client.cas(it.repo).query_chunk(HASH),
}
# A token first, before what is asked of the CAS.
HONEST = r"(?!GET /api/models/[^/]+/[^/]+/xet-\w+-token)"
LIES = {"endless": endless(b" "), "declared": endless(b" ", declared=2 * GIB)}


@pytest.mark.parametrize("lie", LIES)
async def test_no_answer_takes_more_memory_than_makes_sense(lie: str) -> None:
    async with world(retry=TWICE, timeouts=SOON) as it:
        for name, call in (CALLS | OPTIONAL).items():
            it.proxy.clear()
            pattern = ".*" if name == "token" else HONEST
            it.proxy.rule(pattern, LIES[lie])
            with memory_growth() as growth:
                if name in OPTIONAL:
                    assert await call(it) is None
                else:
                    with pytest.raises(FormatError):
                        await call(it)
            assert growth.bytes < 120 * MIB, name
            # A xorb for which there is no sensible grant is sent directly, once.
            assert it.proxy.count(pattern) == (2 if name == "xorb" else 1), name


# As long as is let through, and made of what takes most memory once it is decoded.
DENSE: dict[str, tuple[str, bytes, bytes, bytes]] = {
    "refs": ("refs", b'{"branches":[', b'{"name":"a","ref":"","targetCommit":"%040x"},', b'"ref":1}]}'),
    "tree": ("tree", b"[", b'{"type":"directory","path":"data/a","oid":""},', b"1]"),
    "orgs": ("whoami", b'{"name":"a","orgs":[', b'{"name":""},', b"1]}"),
    "fetches": ("plan", b'{"offset_into_first_range":0,"terms":[],"xorbs":{', b'"%08x":[],', b'"a":1}}'),
    "depth": ("plan", b"[", b"[", b"[" * 8),
    "lines": ("shard", b"", b'{"type":"a"}\n', b'{"type":"b"}\n'),
}


@pytest.mark.parametrize("name", DENSE)
async def test_what_an_answer_decodes_to_is_bounded(name: str) -> None:
    call, start, piece, end = DENSE[name]
    most = {"refs": 32, "plan": 4}.get(call, 16) * MIB - 1024
    if b"%" in piece:
        pieces = b"".join(piece % number for number in range(most // len(piece % 1)))
    else:
        pieces = piece * (most // len(piece))
    async with world(retry=TWICE, timeouts=Timeouts()) as it:
        it.proxy.rule(HONEST, answer(200, start + pieces + end))
        with memory_growth() as growth, pytest.raises((FormatError, ServerError)):
            await CALLS[call](it)
        assert growth.bytes < 200 * MIB


async def test_an_error_without_end_is_an_error() -> None:
    async with world(retry=TWICE, timeouts=SOON) as it:
        it.proxy.rule(WHOAMI, endless(b"a", status=500))
        with memory_growth() as growth, pytest.raises(ServerError, match="500"):
            await it.client.hub.whoami()
        assert growth.bytes < 16 * MIB


# -- what is no HTTP ---------------------------------------------------------------------------------------------------

FIELD = b"a" * 8000
NO_HTTP: dict[str, Act] = {
    "headers": raw(b"HTTP/1.1 200 OK\r\n", (b"X-%d: %s\r\n" % (number, FIELD) for number in count())),
    "header": raw(b"HTTP/1.1 200 OK\r\nX: ", repeat(FIELD)),
    "status line": raw(b"HTTP/1.1 200 ", repeat(FIELD)),
    "garbage": raw(repeat(bytes(range(256)) * 100)),
    "chunk sizes": raw(head(Transfer_Encoding="chunked"), repeat(b"0" * 8000), hang=True),
    "chunk size": raw(head(Transfer_Encoding="chunked") + b"f" * 22 + b"\r\na"),
    "trailers": raw(
        head(Transfer_Encoding="chunked") + b"1\r\na\r\n0\r\n",
        (b"X-%d: %s\r\n" % (number, FIELD) for number in count()),
    ),
    "negative": raw(head(Content_Length="-5") + b"a"),
    "contradiction": raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 7\r\n\r\naaaaa"),
    "infinite": raw(head(Content_Length="9" * 40) + b"a"),
    "control": raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: a\x00b\r\n\r\n{}"),
    "early hints": raw(repeat(head(103, Link="</x>") * 100)),
    "page": raw(b"<html>log in first</html>"),
    "http2": raw(b"PRI * HTTP/2.0\r\n\r\n"),
    "nothing": raw(b""),
}


@pytest.mark.parametrize("name", NO_HTTP)
async def test_what_is_no_http_is_an_error_of_the_connection(name: str) -> None:
    async with world(retry=TWICE, timeouts=SOON) as it:
        it.proxy.rule(WHOAMI, NO_HTTP[name])
        with memory_growth() as growth, pytest.raises((ConnectionFailedError, RequestTimeoutError)):
            await it.client.hub.whoami()
        assert growth.bytes < 64 * MIB


async def test_interim_answers_without_end_are_not_waited_for() -> None:
    async with world(retry=TWICE, timeouts=Timeouts()) as it:
        it.proxy.rule(WHOAMI, NO_HTTP["early hints"])
        with pytest.raises(ConnectionFailedError, match="is not HTTP"):
            await it.client.hub.whoami()
        it.proxy.clear()
        it.proxy.rule(WHOAMI, raw(head(103, Link="</x>") * 9, head(Content_Length="12"), b'{"name":"a"}'))
        assert (await it.client.hub.whoami()).name == "a"


async def test_a_compressed_answer_is_not_unpacked() -> None:
    async with world() as it:
        it.proxy.rule(WHOAMI, answer(200, b"\x1f\x8b" + b"\0" * 100, Content_Encoding="gzip"))
        with pytest.raises(FormatError, match="gzip"):
            await it.client.hub.whoami()


# -- too slow ----------------------------------------------------------------------------------------------------------


async def test_one_byte_now_and_then_is_a_stall() -> None:
    async with world(retry=TWICE, timeouts=SOON) as it:
        it.proxy.rule(WHOAMI, slowly(head(), b" ", 0.01))
        with pytest.raises(RequestTimeoutError, match="bytes a second"):
            await it.client.hub.whoami()
        assert it.proxy.count(WHOAMI) == TWICE.attempts


async def test_a_slow_range_is_a_stall_also_where_it_is_continued() -> None:
    async with world(retry=TWICE, timeouts=SOON) as it:
        it.proxy.rule("GET /data", slowly(head(206, Content_Range="bytes 0-9999999/*"), b"a", 0.01), times=1)
        it.proxy.rule("GET /data", raw(head(503)), times=5)
        with pytest.raises(ServerError):
            await ranged(it, 0, 10_000_000)


async def test_a_body_that_breaks_off_after_each_byte_is_not_continued_for_ever() -> None:
    async def one_byte(proxy: Any, request: Any) -> Any:
        start = int(request.headers["Range"].removeprefix("bytes=").partition("-")[0])
        act = raw(head(206, Content_Range=f"bytes {start}-9999999/*", Content_Length="9999999") + b"a")
        return await act(proxy, request)

    async with world(retry=FAST) as it:
        it.proxy.rule("GET /data", one_byte)
        with pytest.raises(ConnectionFailedError):
            await ranged(it, 0, 10_000_000)
        assert it.proxy.count("GET /data") == FAST.attempts


@pytest.mark.parametrize(
    ("pieces", "slow"),
    [([(50, 0.5), (49, 0.5)], True), ([(50, 0.5), (50, 0.5)], False), ([(0, 0.9)], False), ([(0, 1.0)], True),
     ([(1000, 0.0), (0, 5.0)], False), ([(10**6, 0.1), (0, 1.0), (0, 1.0)], True)],
)  # fmt: skip
def test_the_lowest_speed_is_one_of_waiting(pieces: list[tuple[int, float]], slow: bool) -> None:
    check = SpeedCheck(100, 1.0)
    for piece in pieces[:-1]:
        check.note(*piece)
    with pytest.raises(TimeoutError) if slow else nullcontext():
        check.note(*pieces[-1])


async def test_reports_may_be_slow_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    body = b'{"type": "progress"}\n'
    async with world(retry=TWICE, timeouts=SOON) as it:
        cas = it.client.cas(it.repo)
        it.proxy.rule("POST /v2/shards", raw(head(), [body] * 3, b'{"type": "result"}\n'), times=1)
        await cas.upload_shard(b"shard")
        monkeypatch.setattr(transport, "_LONGEST_WORK", 0.6)
        it.proxy.rule("POST /v2/shards", slowly(head(), body, 0.05))
        with pytest.raises(RequestTimeoutError, match="not done after"):
            await cas.upload_shard(b"shard")


@pytest.mark.parametrize("option", ["connect", "response", "progress", "min_speed"])
@pytest.mark.parametrize("value", [-1.0, float("nan")])
def test_time_outs_that_make_no_sense(option: str, value: float) -> None:
    with pytest.raises(ConfigError):
        Timeouts(**{option: value})


# -- headers that lead nowhere -----------------------------------------------------------------------------------------

ADDRESSES = [
    "file:///etc/passwd", "ftp://example.org/", "javascript:alert(1)", "http://", "https:///path", "http://[::1/",
    "http://host:99999999/", "http://host:port/", "http://me:secret@host/", "http://host/" + "a" * 20_000,
    "data:text/plain,x", "xet://acme/titanic/main", "http://[not-an-address]/", "unix:///run/socket",
]  # fmt: skip


@pytest.mark.parametrize(
    "address",
    [*ADDRESSES, "", "relative", "//", "http:/host", "http://host/\r\nX: y", "http://ho\0st/", "http://a\tb/"],
)
def test_addresses_that_are_none(address: str) -> None:
    with pytest.raises(FormatError) as caught:
        web_address(address, what="reading")
    assert len(str(caught.value)) < 400
    assert str(caught.value).isprintable()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "expected"),
    [("https://host/a%2Fb?X-Sig=a%2Bb/c+d", "https://host/a%2Fb?X-Sig=a%2Bb/c+d"), ("https://host/ä b", "https://host/%C3%A4%20b"),
     ("HTTP://Host/A", "http://Host/A")],
)  # fmt: skip
def test_addresses_stay_as_they_are(address: str, expected: str) -> None:
    assert str(web_address(address, what="reading")).lower() == expected.lower()


@pytest.mark.parametrize("address", [each for each in ADDRESSES if len(each) < 8000])
async def test_malformed_addresses_in_answers(address: str) -> None:
    async with world() as it:
        it.proxy.rule("GET /first", raw(head(302, Location=address, Content_Length="0")))
        with pytest.raises(FormatError):
            await get(it.client.transport, "/first", redirect=True)
        it.proxy.rule(
            "GET /api/models/acme/x/tree", raw(head(Link=f'<{address}>; rel="next"', Content_Length="2") + b"[]")
        )
        with pytest.raises(FormatError):
            await all_of(it.client.hub.tree(it.repo.__class__("models", "acme", "x"), "main"))
        it.proxy.rule("GET /api/models/.*token", answer(200, token(address)))
        with pytest.raises(FormatError):
            await it.client.cas(it.repo).reconstruction(HASH, 0, 100)


def token(cas_url: str, value: str = "xet_abc") -> bytes:
    return json.dumps({"accessToken": value, "exp": 2**40, "casUrl": cas_url}).encode()


async def test_redirects_without_end() -> None:
    async with world() as it:
        numbers = count()

        async def onwards(proxy: Any, request: Any) -> Any:
            return await raw(head(302, Location=f"/hop/{next(numbers)}", Content_Length="0"))(proxy, request)

        it.proxy.rule("GET /hop", onwards)
        with pytest.raises(FormatError, match="more than 5 redirects"):
            await get(it.client.transport, "/hop", redirect=True)
        assert it.proxy.count("GET /hop") == 6


@pytest.mark.parametrize(
    "text",
    ["soon", "nan", "inf", "1e999", "", "-", "Wed, 99 Foo", "Mon, 01 Jan 0001 00:00:00 -2359", "1" * 5000, "9" * 400,
     "Fri, 31 Dec 9999 23:59:59 +9999999999", "Fri, 31 Dec 99999 23:59:59 GMT", "Thu, 01 Jan 1970 00:00:00 -0000", "0x10",
     "٣", "Sat, 00 Nov 0000 00:00:00 GMT"],
)  # fmt: skip
def test_a_retry_after_of_any_kind(text: str) -> None:
    found = retry_after(text)
    assert found is None or found >= 0


async def test_a_retry_after_of_ages_raises_at_once() -> None:
    async with world() as it:
        it.proxy.rule(WHOAMI, raw(head(429, Retry_After="1e300", Content_Length="0")))
        with pytest.raises(RateLimitedError):
            await it.client.hub.whoami()
        assert it.proxy.count(WHOAMI) == 1


@pytest.mark.parametrize(
    "text",
    ["", "bytes", "bytes 0-9", "bytes */100", "bytes 9-0/100", "bytes -9/100", "bytes 0-9/100, 20-29/100", "lines 0-9/100",
     f"bytes {'1' * 5000}-9/100", "bytes 0-٣/100", "bytes 0-9/-1", "bytes 0-9/100 "],
)  # fmt: skip
def test_a_content_range_that_is_none(text: str) -> None:
    with pytest.raises(FormatError):
        reader_of(206, {"Content-Range": text}, 0, 10, total=None, what="reading")


@pytest.mark.parametrize("secret", ["a\nb", "a\r\nX-Evil: 1", "ä", "a\0", "a\x7f"])
async def test_tokens_that_would_be_headers(secret: str) -> None:
    async with world() as it:
        with pytest.raises(ConfigError, match="line break") as caught:
            await it.client.transport.request("GET", "/api/whoami-v2", what="asking", bearer=secret)
        assert secret not in str(caught.value)
        it.proxy.rule("GET /api/models/.*token", answer(200, token(it.proxy.url, secret)))
        with pytest.raises(FormatError, match="line break"):
            await it.client.cas(it.repo).reconstruction(HASH, 0, 100)


async def test_a_token_of_the_cas_that_is_always_over_is_not_asked_for_again_and_again() -> None:
    async with world() as it:
        it.proxy.rule("GET /api/models/.*token", changed(lambda body: body.replace(b'"exp":', b'"exp":1,"was":')))
        with pytest.raises(XetError):
            await it.client.cas(it.repo).reconstruction(HASH, 0, 100)
        assert it.proxy.count("GET /api/models/.*token") <= 4
