"""Whether a tag can be released: ``python release.py v1.2.3``. Its section of the changelog is printed."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def section(version: str, root: Path) -> str | None:
    """The changelog's text about a version; `None` where there is none with a date."""
    for found in re.split(r"^## ", (root / "CHANGELOG.md").read_text(), flags=re.MULTILINE):
        heading, _, text = found.partition("\n")
        if re.fullmatch(re.escape(version) + r" — \d{4}-\d\d-\d\d", heading):
            return text.strip() + "\n"
    return None


def lacking(tag: str, root: Path = ROOT) -> list[str]:
    """What is not ready, a line each."""
    version = tag.removeprefix("v")
    found = []
    [told] = re.findall(r'__version__ = "(.+)"', (root / "pyxet" / "_version.py").read_text())
    if tag != f"v{told}":
        found.append(f"the tag is {tag}, but pyxet/_version.py says {told}: expected the tag v{told}")
    if f"\nversion: {version}\n" not in (root / "CITATION.cff").read_text():
        found.append(f"CITATION.cff does not say: version: {version}")
    if section(version, root) is None:
        found.append(f"CHANGELOG.md has no heading '## {version} — ' with the date of the release")
    if left := sorted(path.name for path in (root / "changes").glob("*.md") if path.name != "README.md"):
        found.append(f"entries in changes/ are not in the changelog yet, towncrier moves them: {', '.join(left)}")
    return found


def notes(tag: str, root: Path = ROOT) -> str:
    """The section of the changelog for a tag.

    Raises
    ------
    SystemExit
        Something is not ready; all that is missing is told.
    """
    if missing := lacking(tag, root):
        raise SystemExit("\n".join(missing))
    return section(tag.removeprefix("v"), root) or ""


if __name__ == "__main__":
    sys.stdout.write(notes(sys.argv[1]))
