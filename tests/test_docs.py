"""The pages of the documentation: each runs as it is pasted, and what they say of the project is so."""

from __future__ import annotations

import codeop
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.pages import DOCS, ROOT, blocks, name, needs_tools, pages, run_page

# Why a block is not run, for all that are not.
NOT_RUN = {
    "howto/ingestion.md": ["needs clusters of dask and ray"],
    "quickstart.md": ["it installs packages"],
}

# What pages leave behind, beyond what their own assertions say.
LEFT = {
    "tutorial.md": "assert best == 'experiment-1' and comparison['accuracy'].nunique() == 2",
    "watching.md": (
        "assert any((event.direction, event.bytes, event.status) == ('upload', 2_000_000, 'done') for event in transfers)\n"
        "assert requests_total"
    ),
}


@pytest.mark.needs("shells")
@pytest.mark.parametrize("page", [page for page in pages() if not needs_tools(page)], ids=name)
def test_a_page_runs_as_it_is_pasted(page: Path, tmp_path: Path) -> None:
    if any(block.reason is None for block in blocks(page)):
        run_page(page, tmp_path, LEFT.get(name(page), ""))


@pytest.mark.parametrize("page", pages(), ids=name)
def test_blocks_can_be_pasted_into_pythons_prompt(page: Path) -> None:
    """It runs a statement that has an indented part when an empty line comes, and not before.

    Methods of a class are formatted with empty lines between them: those are for IPython, and Python from 3.13 on.
    """
    for block in blocks(page):
        if block.language == "python" and not re.search(r"^class ", block.code, re.MULTILINE):
            whole = codeop.CommandCompiler()
            lines: list[str] = []
            for number, line in enumerate([*block.code.splitlines(), ""], block.line):
                lines.append(line)
                try:
                    statement = whole("\n".join(lines), symbol="single")
                except SyntaxError as error:
                    pytest.fail(f"{name(page)}:{number}: {error.msg}: {line!r}")
                if statement is not None:
                    lines.clear()


def test_blocks_that_are_not_run_say_why() -> None:
    found = {name(page): [block.reason for block in blocks(page) if block.reason is not None] for page in pages()}
    assert {page: reasons for page, reasons in found.items() if reasons} == NOT_RUN


def test_fences_name_their_language_in_one_word() -> None:
    """So that none is left out by how it is spelt."""
    for page in pages():
        for fence in re.findall(r"^ *```(\S.*)$", page.read_text(), re.MULTILINE):
            assert re.fullmatch(r"\w+|\{[\w:-]+\}.*", fence), f"{name(page)}: ```{fence}"
            assert fence not in ("py", "python3", "pycon", "shell", "ipython"), f"{name(page)}: ```{fence}"


def test_links_lead_somewhere() -> None:
    for page in [ROOT / "CONTRIBUTING.md", *pages()]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_check_of_the_site_finds_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        '<a href="b.html#there">good</a><a href="b.html#gone">bad</a><a href="c.html">bad</a><a href="https://x.org">good</a>'
        '<img src="https://x.org/a.png"><img src="a.png"><script src="//x.org/a.js"></script>'
        '<link rel="stylesheet" href="https://x.org/a.css"><p style="background:url(https://x.org/b.png)">'
    )
    (tmp_path / "b.html").write_text('<h1 id="there">There</h1>')
    two = '<dl class="py method"><dt class="sig">f(a)</dt><dt class="sig">f(b)</dt>'
    (tmp_path / "d.html").write_text(f"{two}</dl>{two}</dl>")
    (tmp_path / "e.html").write_text(two + '<dt class="sig">f(c)</dt>' * 2 + "</dl>")
    (tmp_path / "a.css").write_text('@import "https://x.org/fonts.css";')
    command = [sys.executable, str(DOCS / "check_site.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "a.html takes //x.org/a.js from elsewhere",
        "a.html takes https://x.org/a.css from elsewhere",
        "a.html takes https://x.org/a.png from elsewhere",
        "a.html takes https://x.org/b.png from elsewhere",
        "a.html links to b.html#gone, which has no such anchor",
        "a.html links to c.html, which is not there",
        "e.html shows 4 signatures of one name",
        "a.css takes https://x.org/fonts.css from elsewhere",
    ]
    (tmp_path / "a.html").unlink()
    (tmp_path / "a.css").unlink()
    (tmp_path / "e.html").unlink()
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
