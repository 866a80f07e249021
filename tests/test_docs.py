"""The pages of the documentation: each runs as it is pasted, and what they say of the project is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.pages import ROOT, blocks, name, needs_tools, pages, run_page

# Why a block is not run, for all that are not.
NOT_RUN = {
    "howto/ingestion.md": ["needs clusters of dask and ray"],
    "quickstart.md": ["it installs packages"],
}

# What pages leave behind, beyond what their own assertions say.
LEFT = {
    "watching.md": (
        "assert any((event.direction, event.bytes, event.status) == ('upload', 2_000_000, 'done') for event in transfers)\n"
        "assert requests_total"
    ),
}


@pytest.mark.parametrize("page", [page for page in pages() if not needs_tools(page)], ids=name)
def test_a_page_runs_as_it_is_pasted(page: Path, tmp_path: Path) -> None:
    if any(block.reason is None for block in blocks(page)):
        run_page(page, tmp_path, LEFT.get(name(page), ""))


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
