"""The code blocks of the guide, run in their order against a local endpoint."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.pages import DOCS, ROOT, blocks, run_page, titanic

import pyxet
from pyxet.testing import LocalEndpoint


def test_the_guide(shared_endpoint: LocalEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with titanic(shared_endpoint, tmp_path, monkeypatch) as names:
        assert len(blocks(DOCS / "guide.md")) > 8
        run_page(DOCS / "guide.md", names)
        fs = names["fs"]
        assert fs.cat("acme/titanic/main/model.bin") == b"\xff\x02"
        assert len(fs.log("acme/titanic/experiment-1", limit=1)) == 1


def test_links_lead_somewhere() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_local_endpoint_as_the_readme_has_it() -> None:
    [block] = [block for block in blocks(ROOT / "README.md") if "local_endpoint" in block]
    names = {"pyxet": pyxet}
    exec(compile(block, "README.md", "exec"), names)
    assert isinstance(names["fs"], pyxet.XetFS)
