"""The seed of this project, with real git: the script of the examples runs by itself, and does what it says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.gits import git_in

import pyxet
from pyxet.testing import local_endpoint

pytestmark = pytest.mark.needs("git endpoint", "shells")

SCRIPT = Path(__file__).parents[2] / "examples" / "git_tutorial.sh"
REPO = "acme/titanic"


@pytest.mark.timeout(900)
def test_the_tutorial_runs_by_itself(tmp_path: Path) -> None:
    work = tmp_path / "work"
    done = subprocess.run(
        ["bash", str(SCRIPT), str(work)], capture_output=True, text=True, timeout=800, cwd=tmp_path, check=False,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHON": sys.executable, "PYTHONSAFEPATH": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"done: {work}" in done.stdout
    assert "Traceback" not in done.stderr
    # Nothing of it reaches the home of whoever runs it.
    assert not (tmp_path / ".gitconfig").exists()
    assert not (tmp_path / ".git-credentials").exists()
    with local_endpoint(work / "store", user="acme") as endpoint:
        fs = pyxet.XetFS(endpoint.url, "acme", endpoint.token)
        titles = [commit.title.partition(" with ")[0] for commit in fs.log(f"{REPO}/experiment-1")]
        assert titles == ["Train", "What experiment-1 is about", "Upload titanic.csv", "initial commit"]
        trained = fs.log(f"{REPO}/experiment-1")[0].id
        assert len(fs.log(f"{REPO}/experiment-2")) == 3
        results = fs.cat(f"{REPO}/experiment-1/metrics/info.json")
        for folder in ("titanic", "paper/titanic", "copy/titanic"):
            clone = git_in(work / folder)
            assert clone("rev-parse", "HEAD").strip() == trained
            assert (clone.folder / "metrics" / "info.json").read_bytes() == results
            assert (clone.folder / "titanic.csv").read_bytes() == fs.cat(f"{REPO}/main/titanic.csv")
        for branch in ("experiment-1", "experiment-2"):
            assert f"{branch} {fs.cat_file(f'{REPO}/{branch}/metrics/info.json').decode()}" in done.stdout
        assert json.loads(results)["settings"] == {"n_estimators": 100, "max_depth": 5}
    assert f" {trained} titanic" in done.stdout
