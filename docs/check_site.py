"""Check the built documentation, without a network: ``python docs/check_site.py docs/_build/html``.

Links within the site must lead to existing pages and anchors, pages must load no fonts, scripts, styles or pictures from
other hosts, and no name of the reference may have more signatures than people read.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

# Attributes whose target a browser loads by itself, unlike links.
_FETCHED = {
    ("script", "src"), ("img", "src"), ("img", "srcset"), ("source", "src"), ("source", "srcset"), ("iframe", "src"),
    ("video", "src"), ("audio", "src"), ("embed", "src"), ("object", "data"), ("input", "src"),
}  # fmt: skip
_MOST_SIGNATURES = 3
_IN_STYLES = re.compile(r"""(?:url\(\s*['"]?|@import\s+['"])([^'")]+)""")


class Page(NamedTuple):
    """What the check needs to know of a page."""

    anchors: set[str]
    links: set[str]
    fetched: set[str]
    signatures: list[int]
    """How many each name of the reference is shown with."""


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.page = Page(set(), set(), set(), [])
        self._in_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self._in_style = tag == "style"
        self.page.anchors.update(found[name] for name in ("id", "name") if name in found)
        if tag == "a" and "href" in found:
            self.page.links.add(found["href"])
        if tag == "dl" and "py" in found.get("class", "").split():
            self.page.signatures.append(0)
        if tag == "dt" and "sig" in found.get("class", "").split() and self.page.signatures:
            self.page.signatures[-1] += 1
        relation = found.get("rel", "")
        if tag == "link" and ("stylesheet" in relation or "icon" in relation or "pre" in relation):
            self.page.fetched.add(found.get("href", ""))
        self.page.fetched.update(value for name, value in found.items() if (tag, name) in _FETCHED)
        self.page.fetched.update(_IN_STYLES.findall(found.get("style", "")))

    def handle_endtag(self, tag: str) -> None:
        self._in_style = False

    def handle_data(self, data: str) -> None:
        if self._in_style:
            self.page.fetched.update(_IN_STYLES.findall(data))


def read(path: Path) -> Page:
    """The anchors, links and parts of a page."""
    reader = _Reader()
    reader.feed(path.read_text())
    return reader.page


def is_outside(url: str) -> bool:
    """Whether a browser would load it from another host."""
    parts = urlsplit(url)
    return bool(parts.netloc) or parts.scheme in ("http", "https")


def problems(site: Path) -> Iterator[str]:
    """The problems, one line each."""
    pages = {path: read(path) for path in sorted(site.rglob("*.html"))}
    if not pages:
        yield f"there are no pages in {site}"
    for path, page in pages.items():
        name = path.relative_to(site)
        for url in sorted(page.fetched):
            if is_outside(url):
                yield f"{name} takes {url} from elsewhere"
        # Half a dozen overloads: readers want one signature that shows everything.
        if (most := max(page.signatures, default=0)) > _MOST_SIGNATURES:
            yield f"{name} shows {most} signatures of one name"
        for url in sorted(page.links):
            parts = urlsplit(url)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            if not target.exists():
                yield f"{name} links to {url}, which is not there"
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
                yield f"{name} links to {url}, which has no such anchor"
    for path in sorted(site.rglob("*.css")):
        for url in _IN_STYLES.findall(path.read_text()):
            if is_outside(url):
                yield f"{path.relative_to(site)} takes {url} from elsewhere"


def main(site: Path) -> int:
    """Print the problems, and return the exit code."""
    found = list(problems(site.resolve()))
    sys.stderr.writelines(f"{line}\n" for line in found)
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
