"""The example of a distributed ingest, as its first lines say to run it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from test_examples import run_example


@pytest.mark.parametrize("engine", ["local", "dask", "ray"])
def test_distributed_ingest(tmp_path: Path, engine: str) -> None:
    output = run_example("distributed_ingest.py", "--engine", engine, "--files", "300", home=tmp_path)
    first, second, end = output.splitlines()
    assert re.match(r"300 files, .* 0 were stored before; .* [0-9a-f]{10} 'Upload 300 files'$", first)
    assert re.match(r"300 files, .* 300 were stored before; 0\.0 MB stored, .*no commit, nothing changed$", second)
    assert end == "2 commits, 300 files in the branch"
