"""The project as its files tell it to others: links, versions and addresses that must agree."""

from __future__ import annotations

import re
import runpy
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from support.pages import ROOT, pages

import pyxet

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
SOURCE = PROJECT["urls"]["Source"]
# Those beside the documentation, some of which the host of the project shows.
TEXTS = sorted({*ROOT.glob("*.md"), *ROOT.glob("changes/README.md"), *ROOT.glob(".github/**/*.md"), *pages()})
WORKFLOWS = sorted(ROOT.glob(".github/workflows/*.yml"))


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


# -- workflows ---------------------------------------------------------------------------------------------------------


def test_there_are_the_workflows() -> None:
    assert [path.stem for path in WORKFLOWS] == ["docs", "release", "tests", "weekly", "wheels"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_may_read_and_uses_what_was_looked_at(path: Path) -> None:
    text = path.read_text()
    assert re.search(r"^permissions:\n  contents: read\n\n", text, re.MULTILINE)
    used = re.findall(r"uses: (.+)", text)
    assert used
    for action in used:
        pinned = re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action)
        assert pinned or action.startswith("./.github/workflows/"), action
    assert text.count("actions/checkout@") == text.count("persist-credentials: false")


def test_workflows_run_sessions_that_there_are() -> None:
    defined = set(re.findall(r"^@nox\.session.*\ndef (\w+)", (ROOT / "noxfile.py").read_text(), re.MULTILINE))
    told = set(
        re.findall(r"`(\w+)`", "".join(re.findall(r"^\|.*\|$", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)))
    )
    assert defined - {"bench_once"} <= told
    for path in WORKFLOWS:
        text = path.read_text()
        named = set(re.findall(r"nox -s (\w+)", text))
        for listed in re.findall(r"session: \[(.+)\]", text):
            named |= set(listed.split(", "))
        assert named <= defined, path.name


def test_every_python_that_is_promised_is_tested() -> None:
    promised = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    [tested] = re.findall(r"python: \[(.+)\]", (ROOT / ".github/workflows/tests.yml").read_text())
    assert [version.strip('"') for version in tested.split(", ")] == promised
    assert PROJECT["requires-python"] == f">={promised[0]}"


# -- versions that stand in two places ---------------------------------------------------------------------------------


def test_pre_commit_has_the_versions_of_nox() -> None:
    tools = {"ruff-pre-commit": "ruff", "check-jsonschema": "check-jsonschema"}
    pinned = dict(name.split("==") for name in PYPROJECT["dependency-groups"]["lint"] if "==" in name)
    text = (ROOT / ".pre-commit-config.yaml").read_text()
    found = re.findall(r"repo: https://github\.com/[\w.-]+/([\w.-]+)\n +rev: v?(.+)", text)
    assert len(found) == text.count("repo:")
    assert {tools[repository]: version for repository, version in found} == pinned


def test_the_citation_names_this_version() -> None:
    text = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {pyxet.__version__}\n" in text
    assert f"\nrepository-code: {SOURCE}\n" in text


# -- releases ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project that is ready to be released as 1.2.3."""
    (tmp_path / "pyxet").mkdir()
    (tmp_path / "pyxet" / "_version.py").write_text('__version__ = "1.2.3"\n')
    (tmp_path / "CITATION.cff").write_text("title: pyxet\nversion: 1.2.3\n")
    (tmp_path / "changes").mkdir()
    shutil.copy2(ROOT / "changes" / "README.md", tmp_path / "changes")
    (tmp_path / "CHANGELOG.md").write_text(
        "# Changelog\n\n<!-- releases -->\n\n## 1.2.3 — 2027-01-02\n\n- New.\n\n## 1.2.30 — 2026-01-02\n\n- Old.\n"
    )
    return tmp_path


@pytest.fixture(scope="module")
def notes() -> Callable[[str, Path], str]:
    found: Callable[[str, Path], str] = runpy.run_path(str(ROOT / "tests" / "packaging" / "release.py"))["notes"]
    return found


def test_a_release_has_its_notes(project: Path, notes: Callable[[str, Path], str]) -> None:
    assert notes("v1.2.3", project) == "- New.\n"


@pytest.mark.parametrize("tag", ["1.2.3", "v1.2.4", "v1.2.30"])
def test_a_tag_has_to_be_the_version(project: Path, notes: Callable[[str, Path], str], tag: str) -> None:
    with pytest.raises(SystemExit, match=f"the tag is {tag}, but .* expected the tag v1.2.3"):
        notes(tag, project)


def test_what_is_not_ready_is_told_at_once(project: Path, notes: Callable[[str, Path], str]) -> None:
    (project / "changes" / "7.fix.md").write_text("Mended.")
    changelog = project / "CHANGELOG.md"
    changelog.write_text(changelog.read_text().replace("2027-01-02", "unreleased"))
    (project / "CITATION.cff").write_text("version: 1.2.2\n")
    with pytest.raises(SystemExit) as caught:
        notes("v1.2.3", project)
    assert [line.partition(" ")[0] for line in str(caught.value).splitlines()] == [
        "CITATION.cff",
        "CHANGELOG.md",
        "entries",
    ]
    assert "7.fix.md" in str(caught.value)


def test_this_release_lacks_nothing_but_its_date() -> None:
    """Between releases it may lack entries as well."""
    assert re.search(r"^<!-- releases -->\n\n## ", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    lacking = runpy.run_path(str(ROOT / "tests" / "packaging" / "release.py"))["lacking"]
    assert {line.partition(" ")[0] for line in lacking(f"v{pyxet.__version__}")} <= {"CHANGELOG.md", "entries"}
