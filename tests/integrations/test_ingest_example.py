"""The example of a distributed ingest, as its first lines say to run it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from test_examples import run_example


def test_a_source_without_a_destination(tmp_path: Path) -> None:
    program = Path(__file__).parents[2] / "examples" / "distributed_ingest.py"
    done = subprocess.run([sys.executable, str(program), str(tmp_path)], capture_output=True, text=True)
    assert (done.returncode, "needs a destination" in done.stderr) == (2, True)


@pytest.mark.parametrize("engine", ["local", "dask", "ray"])
def test_distributed_ingest(tmp_path: Path, engine: str) -> None:
    output = run_example("distributed_ingest.py", "--engine", engine, "--files", "300", home=tmp_path)
    first, second, end = output.splitlines()
    assert re.match(r"300 files, .* 0 were stored before; .* [0-9a-f]{10} 'Upload 300 files'$", first)
    assert re.match(r"300 files, .* 300 were stored before; 0\.0 MB stored, .*no commit, nothing changed$", second)
    assert end == "2 commits, 300 files in the branch"
