"""The code blocks of the guide, run in their order against a local endpoint."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import pyxet
from pyxet.testing import LocalEndpoint

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_guide(shared_endpoint: LocalEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XET_ENDPOINT", shared_endpoint.url)
    monkeypatch.setenv("XET_USER_NAME", shared_endpoint.user)
    monkeypatch.setenv("XET_USER_TOKEN", shared_endpoint.token)
    monkeypatch.chdir(tmp_path)
    fs = pyxet.XetFS()
    fs.make_repo("acme/titanic")
    try:
        fs.put(str(ROOT / "examples" / "data" / "titanic.csv"), "acme/titanic/main/titanic.csv")
        names = {"fs": fs, "pyxet": pyxet}
        blocks = BLOCK.findall((ROOT / "docs" / "guide.md").read_text())
        assert len(blocks) > 8
        for number, block in enumerate(blocks):
            exec(compile(block, f"guide.md, block {number + 1}", "exec"), names)
        assert fs.cat("acme/titanic/main/model.bin") == b"\xff\x02"
        assert len(fs.log("acme/titanic/experiment-1", limit=1)) == 1
    finally:
        fs.delete_repo("acme/titanic")


def test_links_lead_somewhere() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_local_endpoint_as_the_readme_has_it() -> None:
    [block] = [block for block in BLOCK.findall((ROOT / "README.md").read_text()) if "local_endpoint" in block]
    names = {"pyxet": pyxet}
    exec(compile(block, "README.md", "exec"), names)
    assert isinstance(names["fs"], pyxet.XetFS)
