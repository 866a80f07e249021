"""What a signed URL of a xorb sends: the range it is signed for and asked for, whatever else the request says."""

from __future__ import annotations

import hashlib
import random
import socket
from collections.abc import Iterator
from contextlib import suppress
from email.utils import formatdate
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest
from support.faults import FaultProxy
from support.hf_client import Through, run_hf
from support.raw_client import RawClient

import pyxet
from pyxet.testing import LocalEndpoint, local_endpoint

REPO = "acme/ranges"
DATA = random.Random(1).randbytes(700_000)
OLD, NEW = formatdate(0, usegmt=True), formatdate(4_000_000_000, usegmt=True)

# Every field of RFC 9110 that may change which part, or which form, of a resource is sent; and those of HTTP that came
# before or beside it. ``Range`` itself is in the test.
FIELDS = [
    ("If-Range", OLD), ("If-Range", NEW), ("If-Range", '"x"'), ("If-Range", "*"), ("If-Range", ""), ("If-Range", 'W/"x"'),
    ("If-Match", '"x"'), ("If-Match", "*"), ("If-Match", "rubbish"), ("If-None-Match", "*"), ("If-None-Match", '"x"'),
    ("If-Modified-Since", OLD), ("If-Modified-Since", NEW), ("If-Modified-Since", "rubbish"),
    ("If-Unmodified-Since", OLD), ("If-Unmodified-Since", NEW),
    ("Accept", "text/html"), ("Accept-Encoding", "gzip, br, zstd, deflate"), ("Accept-Encoding", "identity;q=0, *;q=0"),
    ("Accept-Charset", "utf-7"), ("Accept-Language", "tlh"), ("Accept-Ranges", "none"), ("TE", "trailers, gzip"),
    ("Prefer", "return=minimal"), ("Cache-Control", "only-if-cached"), ("Cache-Control", "no-transform"),
    ("Pragma", "no-cache"), ("Content-Range", "bytes 0-10/*"), ("Content-Type", "multipart/byteranges"),
    ("Max-Forwards", "0"), ("Via", "1.0 x"), ("Trailer", "Range"), ("From", "x@example.org"), ("Request-Range", "bytes=0-9"),
    ("Unless-Modified-Since", OLD), ("X-HTTP-Method-Override", "HEAD"), ("X-HTTP-Method", "PUT"), ("X-Original-URL", "/"),
    ("Authorization", "Basic eDp5"), ("Cookie", "range=all"), ("Upgrade", "h2c"), ("Connection", "Range"),
    ("Connection", "close"), ("X-Forwarded-Host", "example.org"), ("Forwarded", "host=example.org"), ("Referer", "x"),
]  # fmt: skip


class Signed(NamedTuple):
    """A URL, the first and last byte that it is signed for, and the xorb."""

    url: str
    first: int
    last: int
    xorb: bytes


@pytest.fixture(scope="module")
def endpoint() -> Iterator[LocalEndpoint]:
    with local_endpoint() as running:
        RawClient(running, running.token).make_repo(REPO)
        yield running


@pytest.fixture(scope="module")
def signed(endpoint: LocalEndpoint) -> Signed:
    client = RawClient(endpoint, endpoint.token)
    stored = client.upload(REPO, DATA)
    plan = client.cas(REPO, "read").get(f"/v2/reconstructions/{stored.name}", Range="bytes=200000-300000").json
    [[fetch]] = plan["xorbs"].values()
    [part] = fetch["ranges"]
    found = Signed(fetch["url"], part["bytes"]["start"], part["bytes"]["end"], stored.xorb_bytes)
    assert 0 < found.first < found.last < len(found.xorb) - 1
    return found


def sent(signed: Signed, fields: list[tuple[str, str]], method: str = "GET") -> tuple[int, bytes]:
    """Status and body of a request with exactly these fields beside ``Host``, in this order."""
    url = urlsplit(signed.url)
    lines = [f"{method} {url.path}?{url.query} HTTP/1.1", f"Host: {url.netloc}"]
    lines += [f"{name}: {value}" for name, value in fields]
    if ("Connection", "close") not in fields:
        lines.append("Connection: close")
    with socket.create_connection((url.hostname, url.port), timeout=60) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: f"{field[0]}: {field[1][:12]}")
def test_no_field_widens_a_range(signed: Signed, field: tuple[str, str]) -> None:
    wanted = ("Range", f"bytes={signed.first + 3}-{signed.last}")
    for fields in ([wanted, field], [field, wanted]):
        assert sent(signed, fields) == (206, signed.xorb[signed.first + 3 : signed.last + 1])
    # Without a range nothing of the xorb is sent, nor for one that is not signed.
    for fields in ([field], [field, ("Range", f"bytes=0-{signed.last}")], [field, ("Range", "bytes=0-")]):
        status, body = sent(signed, fields)
        assert 400 <= status < 500
        assert signed.xorb[:50] not in body
        assert signed.xorb[signed.first : signed.first + 50] not in body


def test_all_fields_at_once(signed: Signed) -> None:
    fields = [(name, value) for name, value in FIELDS if name not in ("Connection", "Upgrade")]
    part = signed.xorb[signed.first : signed.last + 1]
    wanted = f"bytes={signed.first}-{signed.last}"
    for seed in range(20):
        some = random.Random(seed).sample(fields, len(fields))
        assert sent(signed, [*some, ("Range", wanted)]) == (206, part)


def test_several_ranges_are_one_request_for_more(signed: Signed) -> None:
    """Two headers, or two ranges in one: what is checked is what is sent."""
    inside, outside = f"bytes={signed.first}-{signed.last}", "bytes=0-10"
    for fields in (
        [("Range", inside), ("Range", outside)],
        [("Range", outside), ("Range", inside)],
        [("Range", f"{inside},0-10")],
        [("Range", inside), ("range", outside)],
    ):
        status, body = sent(signed, fields)
        assert (status, body) == (206, signed.xorb[signed.first : signed.last + 1]) or status in (400, 403)
        assert not body.startswith(signed.xorb[:11])


def test_other_methods_send_nothing(signed: Signed) -> None:
    wanted = [("Range", f"bytes={signed.first}-{signed.last}")]
    for method in ("HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"):
        status, body = sent(signed, wanted, method)
        assert status >= 400, method
        assert signed.xorb[signed.first : signed.first + 50] not in body


def test_a_xorb_that_is_cut_short_breaks_off(signed: Signed, endpoint: LocalEndpoint) -> None:
    name = urlsplit(signed.url).path.rpartition("/")[2]
    path = endpoint.root / "xorbs" / name[:2] / name
    path.write_bytes(signed.xorb[: signed.first + 1000])
    try:
        with suppress(ConnectionResetError):
            assert len(sent(signed, [("Range", f"bytes={signed.first}-{signed.last}")])[1]) <= 1000
        path.unlink()
        assert sent(signed, [("Range", f"bytes={signed.first}-{signed.last}")])[0] == 404
    finally:
        path.write_bytes(signed.xorb)


# -- several ranges in one request -------------------------------------------------------------------------------------


def parts_of(body: bytes, boundary: str) -> list[tuple[str, bytes]]:
    """What a body in parts holds: ``Content-Range`` and bytes of each."""
    first, *parts, last = body.split(f"\r\n--{boundary}".encode())
    assert (first, last) == (b"", b"--\r\n")
    found = []
    for part in parts:
        head, _, data = part.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if line)
        found.append((fields["Content-Range"], data))
    return found


@pytest.mark.parametrize("separator", [",", ", "])
def test_several_ranges_come_in_parts(signed: Signed, endpoint: LocalEndpoint, separator: str) -> None:
    start, size = signed.first, len(signed.xorb)
    spans = [(start, start), (start + 10, start + 5000), (start + 5001, signed.last)]
    wanted = "bytes=" + separator.join(f"{first}-{last}" for first, last in spans)
    answer = RawClient(endpoint).get(signed.url, Range=wanted)
    kind, _, boundary = answer.headers["content-type"].partition("; boundary=")
    assert (answer.status, kind) == (206, "multipart/byteranges")
    assert int(answer.headers["content-length"]) == len(answer.body)
    assert parts_of(answer.body, boundary) == [
        (f"bytes {first}-{last}/{size}", signed.xorb[first : last + 1]) for first, last in spans
    ]


def test_each_of_several_ranges_is_signed(signed: Signed, endpoint: LocalEndpoint) -> None:
    first, last = signed.first, signed.last
    for spans in (
        f"{first}-{first},{last}-{last + 1}", f"{first - 1}-{first},{last}-{last}", f"0-0,{first}-{first}", f"{first}-{last},{first}-{last}",
        f"{first}-{first + 10},{first + 10}-{last}", f"{last}-{last},{first}-{first}", f"{first}-{first},", f",{first}-{first}",
        f"{first}-{first},{last}-", f"{first}-{first},-5", f"{first}-{first};{last}-{last}", f"{first}-{first},  {last}-{last}",
    ):  # fmt: skip
        answer = RawClient(endpoint).get(signed.url, Range=f"bytes={spans}")
        assert (answer.status, signed.xorb[:50] in answer.body) == (403, False), spans


def test_the_real_client_reads_in_parts(endpoint: LocalEndpoint) -> None:
    """hf-xet asks for all ranges that a URL is good for at once, if it is told to."""
    noise = random.Random(1403)
    blocks = [noise.randbytes(300_000) for _ in range(6)]
    client = RawClient(endpoint, endpoint.token)
    client.make_repo("acme/parts")
    client.upload("acme/parts", b"".join(blocks))
    # A file of every other block: its ranges of the xorb do not touch.
    fs = pyxet.XetFS(endpoint.url, endpoint.user, endpoint.token)
    data = b"".join(blocks[::2])
    fs.pipe_file("acme/parts/main/some.bin", data)
    plan = (
        client.cas("acme/parts", "read")
        .get(f"/v2/reconstructions/{fs.info('acme/parts/main/some.bin')['xet_hash']}")
        .json
    )
    assert any(len(fetch["ranges"]) > 1 for fetches in plan["xorbs"].values() for fetch in fetches)
    code = """
os.environ["HF_XET_CLIENT_ENABLE_MULTIRANGE_FETCHING"] = "1"
path = hf_hub_download("acme/parts", "some.bin", endpoint=os.environ["HF_ENDPOINT"], token=os.environ["HF_TOKEN"])
import hashlib
answer = hashlib.sha256(open(path, "rb").read()).hexdigest()
"""
    with FaultProxy(endpoint.url) as proxy:
        answer = run_hf(Through(proxy.url, endpoint.token), code)
        assert answer == hashlib.sha256(data).hexdigest()
        asked = [seen.headers["Range"] for seen in proxy.seen if seen.line.startswith("GET /v1/xorbs/")]
        assert any("," in wanted for wanted in asked)
