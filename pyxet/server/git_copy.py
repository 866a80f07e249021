"""A second bare repository with all that a first one holds, sharing its objects on disk."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from pyxet._platform_files import remove_tree


def copy_repository(origin: Path, target: Path) -> None:
    """Give a fresh bare repository the branches, tags, history and objects of another one.

    Settings, hooks, discussions and pull requests stay behind. Git never changes an object in place, so the files of objects are linked, not copied,
    where the file system can. References come first: what they name is there before them, so it is among the objects that
    are linked afterwards, also while somebody pushes.
    """
    remove_tree(target / "refs")
    shutil.copytree(origin / "refs", target / "refs", ignore=shutil.ignore_patterns("*.lock"))
    remove_tree(target / "refs" / "pr", ignore_errors=True)
    # Behind the loose ones: git removes those only when they are in here.
    for name in ("packed-refs", "HEAD"):
        if (origin / name).exists():
            shutil.copyfile(origin / name, target / name)
    packed = target / "packed-refs"
    if packed.exists():
        lines = packed.read_bytes().splitlines(keepends=True)
        packed.write_bytes(b"".join(line for line in lines if b" refs/pr/" not in line))
    for place, folders, names in os.walk(origin / "objects"):
        # What a push has brought so far is not part of the repository.
        folders[:] = [name for name in folders if "incoming-" not in name]
        folder = target / "objects" / Path(place).relative_to(origin / "objects")
        folder.mkdir(exist_ok=True)
        for name in names:
            if not name.startswith("tmp_") and not name.endswith(".lock"):
                _link(Path(place) / name, folder / name)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        # A file system without links, or as many of them as it allows.
        shutil.copyfile(source, target)
