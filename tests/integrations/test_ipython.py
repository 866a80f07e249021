"""Tracebacks of the most common mistakes in IPython, and so in Jupyter."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from IPython.core.interactiveshell import InteractiveShell

import pyxet
from pyxet.testing import LocalEndpoint

MISTAKES = {
    "the branch was left out": ('fs.open("REPO/titanic.csv")', "its branches are main"),
    "no such file": ('fs.open("REPO/main/titanik.csv")', "has no 'titanik.csv'"),
    "no such repository": ('fs.ls("acme/not-there/main")', "does not exist"),
    "a wrong token": ('pyxet.XetFS(endpoint, token="xet_wrong").ls("REPO/main")', "does not accept the token"),
    "nobody answers": ('pyxet.XetFS("localhost:9", retry=once).ls("REPO/main")', "cannot connect"),
    "pandas: no such file": (
        'import pandas as pd\npd.read_csv(url + "/titanik.csv", storage_options=options)',
        "has no 'titanik.csv'",
    ),
}


@pytest.fixture(scope="module")
def shell() -> Iterator[InteractiveShell]:
    hook = sys.excepthook
    shell = InteractiveShell.instance()
    yield shell
    InteractiveShell.clear_instance()
    sys.excepthook = hook


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_in_a_notebook(
    name: str,
    shell: InteractiveShell,
    shared_endpoint: LocalEndpoint,
    repo: str,
    url: str,
    options: dict[str, str],
    xet: pyxet.XetFS,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, expected = MISTAKES[name]
    once = pyxet.RetryPolicy(attempts=1)
    shell.user_ns.update(
        fs=xet, pyxet=pyxet, endpoint=shared_endpoint.url, url=url, options=options, once=once
    )  # fmt: skip
    shell.run_cell(code.replace("REPO", repo))
    shown = capsys.readouterr().out
    assert expected in shown
    assert len(shown.splitlines()) < 15
    assert "site-packages" not in shown
