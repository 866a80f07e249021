"""The project as its files tell it to others: links, versions and addresses that must agree."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from support.pages import ROOT, pages

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
SOURCE = PROJECT["urls"]["Source"]
# Those beside the documentation, some of which the host of the project shows.
TEXTS = sorted({*ROOT.glob("*.md"), *ROOT.glob(".github/**/*.md"), *pages()})


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_to_files_of_the_project_lead_to_them(page: Path) -> None:
    for target in re.findall(re.escape(SOURCE) + r"/(?:blob|tree)/main/([^)#\s\"]+)", page.read_text()):
        assert (ROOT / target).exists(), target
    for target in re.findall(r"\]\((?!https?:|mailto:|#)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_the_readme_is_read_elsewhere_as_well() -> None:
    """The package index shows it, where links between files lead nowhere."""
    assert re.findall(r"\]\((?!https://|#)[^)]+\)", (ROOT / "README.md").read_text()) == []


def test_addresses_of_the_project_are_its_own() -> None:
    assert set(PROJECT["urls"]) == {"Documentation", "Source", "Issues", "Changelog", "Security"}
    assert all(url.startswith((SOURCE, "https://pyxet.readthedocs.io")) for url in PROJECT["urls"].values())
