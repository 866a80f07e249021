"""Copies a bare repository; where possible, the copy shares the objects on disk with the original."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from pyxet._platform_files import remove_tree


def copy_repository(origin: Path, target: Path) -> None:
    """Give a fresh bare repository the branches, tags, history and objects of another one.

    Settings, hooks, discussions and pull requests are not copied. Git never changes an object in place, so the object files
    are hard-linked where the file system can, and else copied. References are copied first: git writes objects before the
    references to them, so the objects linked afterwards include all that these references need, also during a push.
    """
    remove_tree(target / "refs")
    shutil.copytree(origin / "refs", target / "refs", ignore=shutil.ignore_patterns("*.lock"))
    remove_tree(target / "refs" / "pr", ignore_errors=True)
    # After the loose references: git removes a loose one only once it is in ``packed-refs``.
    for name in ("packed-refs", "HEAD"):
        if (origin / name).exists():
            shutil.copyfile(origin / name, target / name)
    packed = target / "packed-refs"
    if packed.exists():
        lines = packed.read_bytes().splitlines(keepends=True)
        packed.write_bytes(b"".join(line for line in lines if b" refs/pr/" not in line))
    for place, folders, names in os.walk(origin / "objects"):
        # The objects of an unfinished push are not part of the repository yet.
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
        # The file system has no hard links, or this file has the most that it allows.
        shutil.copyfile(source, target)
