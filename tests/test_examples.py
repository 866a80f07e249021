"""The examples run as a user runs them, and the README's lines say what happens."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import pyxet
from pyxet.testing import LocalEndpoint, local_endpoint

ROOT = Path(__file__).parent.parent
TITANIC = ROOT / "examples" / "data" / "titanic.csv"


def run_example(name: str, *arguments: str, home: Path) -> str:
    """Standard output of an example, run in a process of its own with nothing of this machine's configuration."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONWARNINGS": "error::ResourceWarning"}
    answer = subprocess.run(
        [sys.executable, str(ROOT / "examples" / name), *arguments],
        capture_output=True, text=True, env=environment, cwd=home, timeout=150, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    assert "Warning" not in answer.stderr, answer.stderr
    return answer.stdout


def test_titanic(tmp_path: Path) -> None:
    root = tmp_path / "store"
    output = run_example("titanic.py", "--root", str(root), home=tmp_path)
    assert len(re.findall(r"^ *experiment-[12] .* 0\.\d+", output, re.MULTILINE)) == 2
    # One commit for each experiment, on top of what main had.
    assert len(re.findall(r"^experiment-1 +[0-9a-f]{10} .*Train with", output, re.MULTILINE)) == 1
    assert len(re.findall(r"^experiment-2 +[0-9a-f]{10} .*Train with", output, re.MULTILINE)) == 1
    assert not re.search(r"^main .*Train", output, re.MULTILINE)
    # The same again changes nothing: the same commits, and no others.
    assert run_example("titanic.py", "--root", str(root), home=tmp_path) == output

    # The models went through the content-addressed store: git holds pointers, and the content comes back by Xet hash.
    git = ["git", "-C", str(next(root.rglob("titanic.git")))]
    pointer = subprocess.run(
        [*git, "show", "experiment-1:models/model.pickle"], capture_output=True, text=True, check=True
    )
    assert pointer.stdout.startswith("version https://git-lfs.github.com/spec/v1\noid sha256:")
    with local_endpoint(root=root, user="acme") as endpoint:
        fs = pyxet.XetFS(endpoint=endpoint.url, user=endpoint.user, token=endpoint.token)
        info = fs.info("acme/titanic/experiment-1/models/model.pickle")
        assert len(info["xet_hash"]) == 64
        assert f"sha256:{info['sha256']}" in pointer.stdout
        assert len(fs.cat("acme/titanic/experiment-1/models/model.pickle")) == info["size"]


def test_async_service(tmp_path: Path) -> None:
    assert (
        run_example("async_service.py", "--clients", "40", home=tmp_path)
        == "40 clients at once: 200 of 200 answers right\n"
    )


def test_bulk_ingest(tmp_path: Path) -> None:
    output = run_example("bulk_ingest.py", "--small", "300", "--large", "2", home=tmp_path)
    assert re.search(r"^First ingest: .* '.+'$", output, re.MULTILINE)
    assert re.search(r"^Second ingest: .*nothing changed$", output, re.MULTILINE)
    assert "302 files in acme/corpus/main" in output


@pytest.fixture
def titanic() -> Iterator[LocalEndpoint]:
    """An endpoint whose main branch holds the passenger list, twice: at the top and in ``data``."""
    with local_endpoint() as endpoint:
        fs = pyxet.XetFS(endpoint=endpoint.url, user=endpoint.user, token=endpoint.token)
        fs.make_repo("acme/titanic")
        fs.put(str(TITANIC), "acme/titanic/main/titanic.csv")
        fs.put(str(TITANIC), "acme/titanic/main/data/titanic_0.csv")
        yield endpoint


def check_the_reading_lines(tmp_path: Path) -> None:
    fs = pyxet.XetFS()
    info = fs.info("xet://acme/titanic/main/titanic.csv")
    assert info["name"] == "acme/titanic/main/titanic.csv"
    assert info["size"] == TITANIC.stat().st_size
    assert info["type"] == "file"
    assert fs.open("acme/titanic/main/titanic.csv", "r").read(20) == "PassengerId,Survived"
    fs.get("xet://acme/titanic/main/data/", str(tmp_path / "data"), recursive=True)
    assert (tmp_path / "data" / "titanic_0.csv").read_bytes() == TITANIC.read_bytes()
    assert fs.ls("xet://acme/titanic/main/data/", detail=False) == ["acme/titanic/main/data/titanic_0.csv"]


def test_the_first_readme_with_login(titanic: LocalEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XET_ENDPOINT", titanic.url)
    pyxet.login(titanic.user, titanic.token)
    try:
        check_the_reading_lines(tmp_path)
        assert pyxet.XetFS().get_username() == titanic.user
    finally:
        pyxet.logout()


def test_the_first_readme_with_environment_variables(
    titanic: LocalEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XET_ENDPOINT", titanic.url)
    monkeypatch.setenv("XET_USER_NAME", titanic.user)
    monkeypatch.setenv("XET_USER_TOKEN", titanic.token)
    check_the_reading_lines(tmp_path)


def test_pandas_reads_without_an_import_of_pyxet(titanic: LocalEndpoint, tmp_path: Path) -> None:
    code = (
        "import sys, pandas as pd\n"
        "assert 'pyxet' not in sys.modules\n"
        "df = pd.read_csv('xet://acme/titanic/main/titanic.csv')\n"
        "import json; print(json.dumps({'rows': len(df), 'columns': list(df.columns)}))"
    )
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(tmp_path), "XET_ENDPOINT": titanic.url,
        "XET_USER_NAME": titanic.user, "XET_USER_TOKEN": titanic.token,
    }  # fmt: skip
    answer = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", code],
        capture_output=True, text=True, env=environment, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    assert not answer.stderr
    shape = json.loads(answer.stdout)
    assert shape["rows"] == len(TITANIC.read_text().splitlines()) - 1
    assert shape["columns"][0] == "PassengerId"
