"""What notebooks show of values: small tables, escaped, without scripts."""

from __future__ import annotations

import json
import pickle
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import pytest

import pyxet
from pyxet import XetFS
from pyxet._shown import Rows
from pyxet.reports import Totals
from pyxet.types import Commit, FilePointer, LfsFile, PathChange, PullRequest, PullRequestInfo

NOW = datetime(2026, 11, 1, 12, 30, tzinfo=UTC)
EVIL = "<script>alert(1)</script>\" onmouseover='x'"
COMMIT = Commit("a" * 40, EVIL, EVIL, NOW)
VALUES: list[Any] = [
    COMMIT,
    PullRequest(EVIL, 1, EVIL, "open", EVIL, NOW, "javascript:alert(1)//" + EVIL),
    PullRequestInfo(EVIL, 1, EVIL, "open", EVIL, NOW, f"https://localhost/{EVIL}"),
    LfsFile("b" * 64, EVIL, 2_500_000, NOW, EVIL),
    PathChange(EVIL, "changed", 10, None),
    FilePointer("http://localhost", EVIL, EVIL, 2_500_000, "c" * 64, None, 1000),
    Totals(3, 1, 1000, 400, 300),
    pyxet.IngestReport(3, 1000, 0, 0, 400, 1, (pyxet.IngestFailure(EVIL, EVIL),), (COMMIT,), EVIL),
    Rows([COMMIT, COMMIT]),
    Rows([{"name": EVIL, "size": 10, "type": "file", "last_modified": NOW}]),
    Rows([EVIL]),
    Rows(),
]


class Looked(HTMLParser):
    """The elements of a piece of HTML; those that are begun are ended."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.open.append(tag)
        for name, value in attrs:
            assert name in ("style", "title", "href", "rel"), name
            if name == "href":
                assert (value or "").startswith("https://")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_no_text_becomes_an_element(value: Any) -> None:
    looked = Looked()
    html = value._repr_html_()
    looked.feed(html)
    assert not looked.open
    assert set(looked.tags) <= {"table", "thead", "tbody", "tr", "th", "td", "p", "strong", "span", "a"}
    assert len(html) < 5000


def test_an_empty_list_has_no_columns_of_another_kind(xet: XetFS, main: str) -> None:
    pulls: Any = xet.list_pull_requests(main.rpartition("/")[0])
    assert pulls._repr_html_() == Rows()._repr_html_() == "<p>The list is empty.</p>"


def test_many_rows_are_cut() -> None:
    html = Rows([COMMIT] * 100_000)._repr_html_()
    assert html.count("<tr>") == 51
    assert "99,950 more" in html


def test_a_bar_of_what_was_stored_already() -> None:
    assert "400 B stored already (40%), 600 B new (60%)" in Totals(3, 1, 1000, 400, 300)._repr_html_()


def test_what_file_systems_return(xet: XetFS, main: str) -> None:
    repo = main.rpartition("/")[0]
    with xet.transaction(message="One & two") as tr:
        xet.pipe({f"{main}/a<b>.txt": b"1", f"{main}/b.bin": b"\0" * 5000})
        assert "No commit was made yet" in tr._repr_html_()
    assert "One &amp; two" in tr._repr_html_()
    assert "One &amp; two" in xet.log(main)._repr_html_()  # type: ignore[attr-defined]  # told by what it is, not by its type
    listed: Any = xet.ls(main, expand=True)
    assert "a&lt;b&gt;.txt" in listed._repr_html_()
    assert "4.9 KiB" in listed._repr_html_()
    assert "last modified" in listed._repr_html_()
    for found in (xet.list_branches(repo, detail=True), xet.list_tags(repo, detail=True), xet.ls(repo)):
        shown: Any = found
        assert shown._repr_html_()
    # In every other respect they are lists.
    assert listed == list(listed)
    assert pickle.loads(pickle.dumps(xet.ls(main))) == xet.ls(main)
    assert json.loads(json.dumps(xet.ls(main)))[0]["type"] == "file"
    assert type(xet.ls(main, detail=False)) is list
