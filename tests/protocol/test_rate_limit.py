"""Headers that tell of quotas: as the Hub writes them, as the draft does, and as nobody should."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyxet.protocol.rate_limit import RateLimit, route_class


@pytest.mark.parametrize(
    ("limit", "policy", "expected"),
    [
        ('"api";r=0;t=55', None, RateLimit("api", 0, 55)),
        (
            '"api";r=12;t=55',
            '"fixed window";"api";q=1000;w=300',
            RateLimit("api", 12, 55, 1000, 300),
        ),
        # As the draft has it.
        ('"default";r=50;t=30', '"default";q=100;w=60', RateLimit("default", 50, 30, 100, 60)),
        (' "api" ; t=1.5 ; r=3 ', None, RateLimit("api", 3, 1.5)),
        ('"a,b;r=9";r=3;t=1', None, RateLimit("a,b;r=9", 3, 1)),
        # Of several, the one that is nearest to its end, and that lasts longest.
        ('"minute";r=9;t=30, "day";r=2;t=4000', None, RateLimit("day", 2, 4000)),
        ('"a";r=0;t=30,"b";r=0;t=60', '"b";q=5;w=60, "a";q=1;w=30', RateLimit("b", 0, 60, 5, 60)),
        ('"api";r=1;t=1', '"fixed window";"pages";q=5;w=60', RateLimit("api", 1, 1)),
        ('"api";r=1;t=1', '"api";q=0;w=0', RateLimit("api", 1, 1)),
        ('"api";r=1;t=1', "nonsense", RateLimit("api", 1, 1)),
    ],
)
def test_what_headers_tell(limit: str, policy: str | None, expected: RateLimit) -> None:
    assert RateLimit.parse(limit, policy) == expected


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        '"api"',
        '"api";r=1',
        '"api";t=1',
        "api;r=1;t=1",
        '"api";r=-1;t=5',
        '"api";r=1;t=-5',
        '"api";r=x;t=5',
        '"api";r=1e9;t=5',
        '"api";r=nan;t=inf',
        '"api";r=1;t=9999999999999999999999',
        '"api";r=１;t=5',
        ";;;,,,===",
        "limit=100, remaining=5, reset=10",
        '"api";r=1;t=1' + " " * 1000,
    ],
)
def test_what_tells_nothing(text: str | None) -> None:
    assert RateLimit.parse(text) is None


@given(st.text(max_size=200), st.text(max_size=200))
def test_whatever_a_header_has(limit: str, policy: str) -> None:
    found = RateLimit.parse(limit, policy)
    assert found is None or (found.remaining >= 0 and found.reset >= 0)


def test_what_is_told_is_what_is_read() -> None:
    told = RateLimit("api", 7, 54.2, 1000, 300.0).headers()
    assert told == {"RateLimit": '"api";r=7;t=55', "RateLimit-Policy": '"fixed window";"api";q=1000;w=300'}
    assert RateLimit.parse(told["RateLimit"], told["RateLimit-Policy"]) == RateLimit("api", 7, 55, 1000, 300)
    assert "RateLimit-Policy" not in RateLimit("api", 7, 54.2).headers()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/api/models/a/b", "api"),
        ("/a/b.git/info/lfs/objects/batch", "api"),
        ("/a/b/resolve/main/x", "resolvers"),
        ("/datasets/a/b/resolve/main/x", "resolvers"),
        ("/a/b", "pages"),
        ("/", "pages"),
        ("/v1/xorbs/default/00", None),
        ("/v2/reconstructions/00", None),
    ],
)
def test_classes_of_routes(path: str, expected: str | None) -> None:
    assert route_class(path) == expected
