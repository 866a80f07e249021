"""The grammar of URLs and paths."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyxet.errors import XetURLError
from pyxet.types import RepoId
from pyxet.urls import (
    PointInTime,
    XetURL,
    endpoint_name,
    endpoint_url,
    is_commit_id,
    may_be_commit,
    point_in_time,
    quote_revision,
)

CASES = [
    ("", XetURL()),
    ("xet://", XetURL()),
    ("/", XetURL()),
    ("acme", XetURL(None, "models", "acme")),
    ("xet://acme/titanic", XetURL(None, "models", "acme", "titanic")),
    ("/acme/titanic/main", XetURL(None, "models", "acme", "titanic", "main")),
    ("acme/titanic/main/", XetURL(None, "models", "acme", "titanic", "main")),
    ("xet://acme/titanic/main/a/b c.csv", XetURL(None, "models", "acme", "titanic", "main", "a/b c.csv")),
    ("fsspec+xet://acme/titanic/main/x", XetURL(None, "models", "acme", "titanic", "main", "x")),
    ("xet://models/acme/titanic/main/x", XetURL(None, "models", "acme", "titanic", "main", "x")),
    ("datasets/acme/titanic/main/x", XetURL(None, "datasets", "acme", "titanic", "main", "x")),
    ("spaces/acme", XetURL(None, "spaces", "acme")),
    ("xet://kernels/acme/relu/main/x", XetURL(None, "kernels", "acme", "relu", "main", "x")),
    ("xet://buckets/acme/logs/2026/a.txt", XetURL(None, "buckets", "acme", "logs", None, "2026/a.txt")),
    ("xet://localhost:8787:acme/titanic/main/x", XetURL("localhost:8787", "models", "acme", "titanic", "main", "x")),
    ("xet://xethub.com:acme/titanic", XetURL("xethub.com", "models", "acme", "titanic")),
    ("xet://h:datasets/acme/t/main", XetURL("h", "datasets", "acme", "t", "main")),
    ("xet://[::1]:8787:acme/t", XetURL("[::1]:8787", "models", "acme", "t")),
    ("acme/titanic/refs%2Fpr%2F1/x", XetURL(None, "models", "acme", "titanic", "refs/pr/1", "x")),
    ("acme/titanic/main@{2026-11-01}/x", XetURL(None, "models", "acme", "titanic", "main@{2026-11-01}", "x")),
    ("acme/titanic/main/100%25.txt", XetURL(None, "models", "acme", "titanic", "main", "100%25.txt")),
    ("acme/titanic/main/a:b", XetURL(None, "models", "acme", "titanic", "main", "a:b")),
]


@pytest.mark.parametrize(("text", "url"), CASES, ids=[text or "empty" for text, _ in CASES])
def test_parse(text: str, url: XetURL) -> None:
    assert XetURL.parse(text) == url
    assert XetURL.parse(str(url)) == url
    assert XetURL.parse(url.full_path) == XetURL.parse(str(url).replace(f"{url.endpoint}:", ""))


@pytest.mark.parametrize(
    ("text", "part"),
    [("s3://a/b", "scheme"), ("xet:///a/b", "owner"), ("a//b", "part 2"), ("a/b/main//x", "part 4"), ("a b/c", "owner"),
     ("a/b..c", "repository"), ("a/b.git", "repository"), ("a/" + "b" * 97, "repository"), ("-a/b", "owner"),
     ("buckets/a/b!", "bucket"), ("a/b/-x", "branch"), ("a/b/%20", "branch"), ("a/b/%00", "branch"), ("a/b/main/..", r"'\.\.'"),
     ("a/b/main/./x", r"'\.'"), ("a/b/main/.GIT/config", r"'\.git'"), ("a/b/main/\0", r"not allowed"),
     ("xet://localhost:8787/a/b", "colon is missing"), ("xet://ho st:a/b", "host")],
)  # fmt: skip
def test_errors_name_the_part_that_is_wrong(text: str, part: str) -> None:
    with pytest.raises(XetURLError, match=part) as caught:
        XetURL.parse(text)
    assert isinstance(caught.value, ValueError)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "level"),
    [("", "root"), ("datasets", "root"), ("a", "owner"), ("a/b", "repo"), ("a/b/main", "branch"), ("a/b/main/x", "path"),
     ("buckets/a/b", "repo"), ("buckets/a/b/x", "path")],
)  # fmt: skip
def test_levels(text: str, level: str) -> None:
    assert XetURL.parse(text).level == level


def test_parts_of_urls() -> None:
    url = XetURL.parse("xet://h:1:datasets/a/b/feature%2Fx/dir/f")
    assert url.repo_id == RepoId("datasets", "a", "b")
    assert url.full_path == "datasets/a/b/feature%2Fx/dir/f"
    assert url.branch_path == "datasets/a/b/feature%2Fx"
    assert url.joined("other").full_path == "datasets/a/b/feature%2Fx/other"
    assert str(url) == "xet://h:1:datasets/a/b/feature%2Fx/dir/f"
    assert XetURL.parse("a").repo_id is None


def test_repositories() -> None:
    assert (RepoId("models", "a", "b").path, RepoId("spaces", "a", "b").path) == ("a/b", "spaces/a/b")
    assert [RepoId(kind, "a", "b").singular for kind in ("models", "datasets", "spaces", "kernels", "buckets")] == [
        "model", "dataset", "space", "kernel", "bucket",
    ]  # fmt: skip
    assert str(RepoId("datasets", "a", "b")) == "datasets/a/b"


@given(st.text(min_size=1).filter(lambda text: text.strip() and text[0] != "-" and min(text) >= " "))
def test_every_revision_can_be_written(revision: str) -> None:
    quoted = quote_revision(revision)
    assert "/" not in quoted
    assert XetURL.parse(f"a/b/{quoted}/x").revision == revision


@pytest.mark.parametrize(
    ("text", "url"),
    [("localhost", "http://localhost"), ("127.0.0.1:8787", "http://127.0.0.1:8787"), ("[::1]:1", "http://[::1]:1"),
     ("huggingface.co", "https://huggingface.co"), ("localhost.example", "https://localhost.example"),
     ("http://h/", "http://h"), ("https://h/prefix/", "https://h/prefix"), (" h ", "https://h"),
     ("HTTPS://HuggingFace.co/Prefix", "https://huggingface.co/Prefix"), ("LOCALHOST:1", "http://localhost:1")],
)  # fmt: skip
def test_endpoints(text: str, url: str) -> None:
    assert endpoint_url(text) == url
    assert endpoint_url(url) == url


@pytest.mark.parametrize("text", ["", "ftp://h", "http://", "a b", "h:99999999", "a/b", "https://user:secret@h"])
def test_what_is_no_endpoint(text: str) -> None:
    with pytest.raises(XetURLError, match="expected host"):
        endpoint_url(text)


def test_names_of_endpoints() -> None:
    assert endpoint_name("http://localhost:8787") == "localhost:8787"
    assert endpoint_name("https://h/prefix") == "h"


def test_kinds_of_revisions() -> None:
    assert point_in_time("main@{5.minutes.ago}") == PointInTime("main", "5.minutes.ago")
    assert point_in_time("main") is None
    assert point_in_time("@{now}") is None
    assert is_commit_id("a" * 40)
    assert not is_commit_id("a" * 39)
    assert not is_commit_id("A" * 40)
    assert [may_be_commit(text) for text in ("a" * 6, "a" * 7, "A" * 40, "a" * 41, "main")] == [
        False, True, True, False, False,
    ]  # fmt: skip
