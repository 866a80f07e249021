"""What listings are made of: entries as the file system describes them, named as the user would."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyxet import XetURL

Info = Mapping[str, Any]


def below(info: Info, top: XetURL) -> str:
    """The name of an entry below a path: ``data/a.csv``; its last part if it is the path itself."""
    name: str = info["name"]
    start = top.full_path
    if name == start:
        return name.rpartition("/")[2]
    return name[len(start) + 1 :] if start else name


def as_typed(info: Info, top: XetURL, typed: str) -> str:
    """The path of an entry, beginning as the user wrote it, so that other commands take it."""
    name: str = info["name"]
    rest = name[len(top.full_path) :]
    return f"{typed.rstrip('/')}{rest}" if top.full_path else name


def is_folder(info: Info) -> bool:
    """Whether it is a folder inside of a branch."""
    return info["type"] == "directory" and info.get("kind") == "directory"


def for_json(info: Info) -> dict[str, Any]:
    """An entry for JSON: without the size of what has none."""
    return {name: value for name, value in info.items() if name != "size" or info["type"] == "file"}
