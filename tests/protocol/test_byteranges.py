"""``multipart/byteranges``: what the endpoint writes is read again, however it arrives, and nothing else is."""

from __future__ import annotations

import random
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyxet.errors import FormatError, IntegrityError
from pyxet.protocol.byteranges import ContentRange, PartsReader, boundary_of
from pyxet.server.ranges import framed

CONTENT = random.Random(1511).randbytes(5000)
TYPE = "multipart/byteranges; boundary=b"


def written(borders: list[int]) -> tuple[str, bytes]:
    """The type and the body of an answer by the endpoint's own writer, with a part between each two borders."""
    spans = list(pairwise(borders))
    kind, heads, tail = framed(spans, len(CONTENT))
    return kind, b"".join(head + CONTENT[a:b] for head, (a, b) in zip(heads, spans, strict=True)) + tail


def reader(start: int, end: int, kind: str = TYPE, total: int | None = None) -> PartsReader:
    boundary = boundary_of(kind, what="reading")
    assert boundary is not None
    return PartsReader(boundary, start, end, total=total, what="reading")


def read(it: PartsReader, body: bytes, cuts: list[int]) -> bytes:
    """What is read of a body that arrives in pieces, cut at these places."""
    places = [0, *sorted(cuts), len(body)]
    found = []
    for start, end in pairwise(places):
        found += it.take(body[start:end])
    assert all(found)
    return b"".join(found)


def part(span: str, content: bytes, more: bytes = b"") -> bytes:
    return b"\r\n--b\r\nContent-Range: bytes " + span.encode() + b"\r\n" + more + b"\r\n" + content


BORDERS = st.lists(st.integers(0, len(CONTENT)), min_size=2, max_size=12, unique=True).map(sorted)


@given(borders=BORDERS, data=st.data())
def test_what_the_endpoint_writes_is_read_however_it_arrives(borders: list[int], data: st.DataObject) -> None:
    kind, body = written(borders)
    cuts = data.draw(st.lists(st.integers(0, len(body)), max_size=20))
    it = reader(borders[0], borders[-1], kind, len(CONTENT))
    assert read(it, body, cuts) == CONTENT[borders[0] : borders[-1]]
    assert it.is_complete


def test_a_body_that_comes_byte_by_byte() -> None:
    kind, body = written([7, 8, 300])
    it = reader(7, 300, kind)
    assert read(it, body, list(range(len(body)))) == CONTENT[7:300]
    assert it.is_complete


@given(borders=BORDERS, data=st.data())
def test_a_body_that_breaks_off_gives_what_came(borders: list[int], data: st.DataObject) -> None:
    kind, body = written(borders)
    end = data.draw(st.integers(0, len(body) - len("--\r\n") - 1))
    it = reader(borders[0], borders[-1], kind)
    found = read(it, body[:end], [])
    assert CONTENT[borders[0] : borders[-1]].startswith(found)
    assert not it.is_complete


@given(borders=BORDERS, data=st.data())
def test_a_damaged_body_is_an_error_or_damages_no_more_than_content(borders: list[int], data: st.DataObject) -> None:
    kind, body = written(borders)
    at = data.draw(st.integers(0, len(body) - 1))
    damage = data.draw(st.one_of(st.binary(max_size=40), st.just(body[: at + 1])))
    it = reader(borders[0], borders[-1], kind)
    try:
        found = read(it, body[:at] + damage + body[at + 1 :], [])
    except FormatError:
        return
    size = borders[-1] - borders[0]
    assert len(found) <= size
    assert not it.is_complete or len(found) == size


@given(body=st.binary(max_size=500), cuts=st.lists(st.integers(0, 500), max_size=5))
def test_garbage_is_no_content(body: bytes, cuts: list[int]) -> None:
    it = reader(0, 100)
    assert read(it, body, [min(cut, len(body)) for cut in cuts]) == b""
    assert not it.is_complete


@given(tokens=st.lists(
    st.sampled_from([b"\r\n", b"--b", b"--", b"-", b"Content-Range: ", b"bytes 0-9/10", b"bytes 5-9/*", b"0123456789", b"01234", b":", b"b", b" "]),
    max_size=30,
))  # fmt: skip
def test_what_is_almost_a_body_in_parts_never_gives_more_than_was_asked_for(tokens: list[bytes]) -> None:
    it = reader(0, 10)
    try:
        found = read(it, b"".join(tokens), [])
    except FormatError:
        return
    assert len(found) <= 10
    assert not it.is_complete or len(found) == 10


GOOD = {
    "one part": part("0-9/10", b"0123456789") + b"\r\n--b--\r\n",
    "no line break in front": (part("0-9/10", b"0123456789") + b"\r\n--b--")[2:],
    "a preamble": b"This is a message in parts.\r\n" + part("0-9/*", b"0123456789") + b"\r\n--b--",
    "an epilogue": part("0-9/10", b"0123456789") + b"\r\n--b--\r\nand more" * 1000,
    "the boundary in the content": part("0-9/10", b"0\r\n--b--\r\n") + b"\r\n--b--",
    "other headers": part("0-9/10", b"0123456789", b"Content-Type: text/plain; x=y:z\r\nX-Y:\r\n") + b"\r\n--b--",
    "no coding": part("0-9/10", b"0123456789", b"Content-Transfer-Encoding: BINARY\r\n") + b"\r\n--b--",
    "padding": part("0-9/10", b"0123456789").replace(b"--b\r", b"--b \t\r") + b"\r\n--b--",
    "two parts": part("0-0/10", b"0") + part("1-9/10", b"123456789") + b"\r\n--b--",
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_forms_that_a_body_may_have(name: str) -> None:
    it = reader(0, 10, total=10)
    assert len(read(it, GOOD[name], [])) == 10
    assert it.is_complete


BAD = {
    "too few": (part("0-8/10", b"012345678") + b"\r\n--b--", "end 1 bytes before"),
    "no parts": (b"--b--", "end 10 bytes before"),
    "too many": (part("0-10/11", b"01234567890"), "bytes 0 to 10, 0 to 9 were expected"),
    "another range": (part("1-9/10", b"123456789"), "bytes 1 to 9, 0 to 9"),
    "a gap": (part("0-1/10", b"01") + part("3-9/10", b"3456789"), "bytes 3 to 9, 2 to 9"),
    "overlap": (part("0-4/10", b"01234") + part("4-9/10", b"456789"), "bytes 4 to 9, 5 to 9"),
    "backwards": (part("5-9/10", b"56789") + part("0-4/10", b"01234"), "bytes 5 to 9, 0 to 9"),
    "twice": (part("0-9/10", b"0123456789") * 2, "no more were expected"),
    "longer than declared": (part("0-4/10", b"0123456789"), "part 1 is longer than its Content-Range says"),
    "shorter than declared": (part("0-4/10", b"0123") + part("5-9/10", b"56789"), "part 1 is longer"),
    "another boundary": (part("0-9/10", b"0123456789") + b"\r\n--c--", "part 1 is longer"),
    "a longer boundary": (part("0-9/10", b"").replace(b"--b", b"--bc"), "'c' follows a boundary"),
    "no range": (b"--b\r\nContent-Type: text/plain\r\n\r\n0123456789", "Content-Range '' does not say which"),
    "no headers": (b"--b\r\n\r\n0123456789", "Content-Range '' does not say which"),
    "two ranges": (part("0-9/10", b"", b"content-range: bytes 0-8/10\r\n"), "header 'content-range: bytes 0-8/10'"),
    "no header": (part("0-9/10", b"", b"Content-Type\r\n"), "header 'Content-Type'"),
    "encoded": (part("0-9/10", b"", b"Content-Encoding: gzip\r\n"), "encoded \\('gzip'\\)"),
    "base64": (part("0-9/10", b"", b"Content-Transfer-Encoding: base64\r\n"), "encoded \\('base64'\\)"),
    "totals that differ": (
        part("0-4/10", b"01234") + part("5-9/11", b"56789"),
        "part 2 is of 11 bytes, one before it of 10",
    ),
    "a head without end": (b"--b\r\nX: " + b"a" * 9000, "part 1 has not begun after 8,192 bytes"),
    "fields without end": (b"--b\r\n" + b"X: y\r\n" * 2000, "part 1 has not begun after 8,192 bytes"),
    "no boundary at all": (b"a" * 9000, "part 1 has not begun after 8,192 bytes"),
    "a second head without end": (part("0-4/10", b"01234") + b"\r\n--b\r\nX: " + b"a" * 9000, "part 2 has not begun"),
    "a page": (b"<html>" + b"\n" * 9000, "part 1 has not begun"),
}


@pytest.mark.parametrize("cut", ["whole", "bytes"])
@pytest.mark.parametrize("name", BAD)
def test_what_is_no_range_in_parts(name: str, cut: str) -> None:
    body, reason = BAD[name]
    with pytest.raises(FormatError, match=reason) as caught:
        read(reader(0, 10), body, list(range(len(body))) if cut == "bytes" else [])
    assert len(str(caught.value)) < 250


def test_no_more_parts_than_make_sense() -> None:
    body = b"".join(part(f"{at}-{at}/*", b"a") for at in range(1001))
    it = reader(0, 1001)
    with pytest.raises(FormatError, match="more than 1,000"):
        read(it, body, [])
    assert read(reader(0, 1000), body[: body.rindex(b"\r\n--b")] + b"\r\n--b--", []) == b"a" * 1000


def test_the_resource_has_another_length() -> None:
    with pytest.raises(IntegrityError, match="10 bytes, 99 were expected"):
        read(reader(0, 10, total=99), GOOD["one part"], [])


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("multipart/byteranges; boundary=abc", b"abc"),
        ('Multipart/ByteRanges;charset=x ; Boundary="a b:c" ', b"a b:c"),
        ("multipart/byteranges;boundary=a=b/c", b"a=b/c"),
        (f"multipart/byteranges; boundary={'a' * 70}", b"a" * 70),
        ("", None),
        ("application/octet-stream", None),
        ("multipart/byteranges2; boundary=a", None),
        ("multipart/form-data; boundary=a", None),
    ],
)
def test_types_and_their_boundaries(kind: str, expected: bytes | None) -> None:
    assert boundary_of(kind, what="reading") == expected


@pytest.mark.parametrize(
    "rest",
    ["", ";", "; boundary=", '; boundary=""', f"; boundary={'a' * 71}", "; boundary=a; boundary=b", '; boundary="a ', '; boundary="a "',
     "; boundary=ä", "; boundary=a b", '; boundary="a\\"b"', "; boundary=a\x00", "; xboundary=a", "; boundary" * 700],
)  # fmt: skip
def test_types_without_a_boundary(rest: str) -> None:
    with pytest.raises(FormatError, match="no valid boundary") as caught:
        boundary_of(f"multipart/byteranges{rest}", what="reading")
    assert len(str(caught.value)) < 300


@given(st.text(max_size=40) | st.from_regex(re.compile(r"bytes \d+-\d+/(\d+|\*)"), fullmatch=True))
def test_a_content_range_is_one_or_an_error(text: str) -> None:
    try:
        found = ContentRange.parse(text, total=None, what="reading")
    except FormatError:
        return
    assert 0 <= found.start < found.end
