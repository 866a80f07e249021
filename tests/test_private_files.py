"""Files that only their owner may read, written by several at once."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from pyxet.private_files import replace_private


@pytest.mark.needs("modes")
def test_threads_that_write_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each writes a file of its own until that is whole, and the one that is through last counts."""
    path = tmp_path / "token"
    other = threading.Thread(target=replace_private, args=(path, "other"))
    sync = os.fsync

    def meanwhile(descriptor: int) -> None:
        monkeypatch.setattr(os, "fsync", sync)
        other.start()
        other.join()
        assert path.read_text() == "other"
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", meanwhile)
    replace_private(path, "this")
    assert path.read_text() == "this"
    assert [entry.name for entry in tmp_path.iterdir()] == ["token"]
    assert path.stat().st_mode & 0o777 == 0o600
