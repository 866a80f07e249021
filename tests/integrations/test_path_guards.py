"""`XetPath` writes under the conditions that `XetFS` knows, or says that it cannot keep them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.accounts import token_of
from upath import UPath

from pyxet import EditConflictError, XetFS, XetPath

WRITES: dict[str, Callable[..., Any]] = {
    "write_bytes": lambda path, **options: path.write_bytes(b"ours", **options),
    "write_text": lambda path, **options: path.write_text("ours", **options),
    "open": lambda path, **options: path.open("wb", **options).close(),
    "touch": lambda path, **options: path.touch(**options),
    "unlink": lambda path, **options: path.unlink(**options),
    "rename": lambda path, **options: path.with_name("source").rename(path, **options),
    "replace": lambda path, **options: path.with_name("source").replace(path, **options),
    "move": lambda path, **options: path.with_name("source").move(path, **options),
    "copy": lambda path, **options: path.with_name("source").copy(path, **options),
}


@pytest.mark.parametrize("name", WRITES)
def test_ways_to_write_keep_their_conditions(fresh: XetFS, main: str, name: str) -> None:
    path = XetPath(f"xet://{main}/a", endpoint=fresh.endpoint, token=token_of(fresh), listings_expiry_time=0)
    fresh.pipe({f"{main}/a": b"theirs", f"{main}/source": b"source"})
    before, wrong = fresh.info(main)["commit"], fresh.info(f"{main}/source")["blob_id"]
    write = WRITES[name]
    with pytest.raises(EditConflictError):
        write(path, if_match=wrong)
    fresh.pipe(f"{main}/a", b"later")
    if name != "touch":
        # Nothing is written where the file is there.
        with pytest.raises(EditConflictError):
            write(path, parent_commit=before)
    if name not in ("open", "touch", "unlink"):
        with pytest.raises(FileExistsError):
            write(path, mode="create")
    assert fresh.cat(f"{main}/a") == b"later"
    with pytest.raises(TypeError, match="mesage"):
        write(path, mesage="x")
    if name == "touch":
        fresh.rm(f"{main}/a")
    write(path, message="said so")
    assert fresh.log(main)[0].title == "said so"


def test_conditions_that_cannot_be_kept(fresh: XetFS, main: str, tmp_path: Path) -> None:
    path = XetPath(f"xet://{main}/a", endpoint=fresh.endpoint, token=token_of(fresh))
    path.write_bytes(b"a")
    (tmp_path / "local").write_bytes(b"local")
    local = UPath(tmp_path / "local")
    call: Any
    for call in (
        lambda: path.copy(UPath(tmp_path / "copy"), message="x"),
        lambda: path.move(UPath(tmp_path / "moved"), if_match="x"),
        lambda: local.copy(path.with_name("up"), mode="create"),
    ):
        with pytest.raises(TypeError, match="another file system"):
            call()
    local.copy(path.with_name("up"), message="from here")
    assert fresh.log(main)[0].title == "from here"
    assert path.move(UPath(tmp_path / "moved"), message="moved away").read_bytes() == b"a"
    assert fresh.log(main)[0].title == "moved away"


def test_the_table_has_every_method_that_writes() -> None:
    found = {
        name
        for name in dir(XetPath)
        if not name.startswith("_") and callable(method := getattr(XetPath, name))
        if name not in ("from_uri", "cwd", "home") and "message" in inspect.signature(method).parameters
    }
    # Of the others, `copy`, `replace` and `open` pass on what they are given; `rmdir` is about folders.
    assert found == set(WRITES) - {"copy", "replace", "open"} | {"rmdir"}
