"""Many small files through the file system: read at once, and downloaded whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fsspec.callbacks import Callback
from support.batches import BATCH
from support.contents import content
from support.faults import MIB, XORB, changed
from support.proxied import proxied
from support.settled import check_budgets

import pyxet
from pyxet.errors import IntegrityError
from pyxet.testing import LocalEndpoint


def filled(fs: pyxet.XetFS, main: str) -> dict[str, bytes]:
    """Small and large files, a text that is no Xet file, an empty one, two names of one content."""
    contents = {f"d{number % 3}/{number}.bin": content(number) for number in range(30)}
    contents |= {"big.bin": content(99, 3 * MIB), "text.txt": b"hello", "empty.bin": b"", "d0/same.bin": content(1)}
    fs.pipe({f"{main}/{name}": data for name, data in contents.items()})
    return contents


def test_mixed_files_are_read_at_once(shared_endpoint: LocalEndpoint, main: str) -> None:
    with proxied(shared_endpoint) as (proxy, fs):
        contents = filled(fs, main)
        proxy.clear()
        paths = [f"{main}/{name}" for name in contents]
        assert fs.cat(paths) == dict(zip(paths, contents.values(), strict=True))
        assert proxy.count(BATCH) == 1
        assert fs.cat([*paths, f"{main}/absent"], on_error="omit") == fs.cat(paths)
        assert fs.cat(paths, start=1, end=5) == {
            path: data[1:5] for path, data in zip(paths, contents.values(), strict=True)
        }
    check_budgets()


def test_a_folder_is_downloaded_in_few_requests(shared_endpoint: LocalEndpoint, main: str, tmp_path: Path) -> None:
    with proxied(shared_endpoint) as (proxy, fs):
        contents = filled(fs, main)
        proxy.clear()
        told: dict[str, int] = {}

        class Seen(Callback):
            def branched(self, path_1: str, path_2: str, **kwargs: Any) -> Any:
                child = Callback()
                child.close = lambda: told.update({path_1: child.value})
                return child

        seen = Seen()
        fs.get(f"{main}/", f"{tmp_path}/out/", recursive=True, callback=seen)
        found = {
            str(path.relative_to(tmp_path / "out")): path.read_bytes()
            for path in (tmp_path / "out").rglob("*")
            if path.is_file()
        }
        assert found == contents
        assert proxy.count(BATCH) == 1
        assert seen.value == seen.size
        assert told == {f"{main}/{name}": len(data) for name, data in contents.items()}
    check_budgets()


def test_what_an_earlier_download_left_goes(shared_endpoint: LocalEndpoint, main: str, tmp_path: Path) -> None:
    with proxied(shared_endpoint) as (_, fs):
        fs.pipe({f"{main}/{name}": content(number) for number, name in enumerate(("a", "b"))})
        part = tmp_path / f".a.{'0' * 16}.part"
        part.write_bytes(b"x")
        part.with_name(f"{part.name}.journal").write_bytes(b"y")
        (tmp_path / "b").write_bytes(b"old")
        fs.get([f"{main}/a", f"{main}/b"], [str(tmp_path / "a"), str(tmp_path / "b")])
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": content(0), "b": content(1)}


def test_a_corrupt_file_of_a_folder_does_not_appear(shared_endpoint: LocalEndpoint, main: str, tmp_path: Path) -> None:
    with proxied(shared_endpoint) as (proxy, fs):
        fs.pipe({f"{main}/{number}": content(number) for number in range(5)})
        proxy.rule(XORB, changed(lambda body: body.replace(content(3)[:100], bytes(100))))
        with pytest.raises(IntegrityError):
            fs.get(f"{main}/", str(tmp_path), recursive=True)
        left = {path.name for path in tmp_path.iterdir()}
        assert "3" not in left
        assert not any(name.endswith((".part", ".journal")) for name in left)
    check_budgets()


def test_a_target_that_cannot_be_written(shared_endpoint: LocalEndpoint, main: str, tmp_path: Path) -> None:
    with proxied(shared_endpoint) as (_, fs):
        fs.pipe({f"{main}/{number}": content(number) for number in range(3)})
        (tmp_path / "1" / "x").mkdir(parents=True)
        with pytest.raises(IsADirectoryError):
            fs.get([f"{main}/{number}" for number in range(3)], [str(tmp_path / f"{number}") for number in range(3)])
    check_budgets()
