"""A test that hangs beyond the reach of pytest-timeout ends its process, which tells where it hung."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HANGING = """
import threading
import pytest

@pytest.fixture
def hangs():
    yield
    while True:
        try:
            threading.Event().wait()
        except BaseException:
            pass

def test_that_fails_and_hangs_at_its_end(hangs):
    assert False
"""
RUN = """
import sys
sys.path.insert(0, sys.argv[1])
import pytest
from support import watchdog
watchdog.GRACE = 1

class Watched:
    def pytest_configure(self, config):
        config.pluginmanager.register(watchdog.Watchdog(config))

pytest.main(["-q", "-p", "no:cacheprovider", "--timeout", "1", sys.argv[2]], plugins=[Watched()])
"""


def test_a_test_that_hangs_after_its_failure(tmp_path: Path) -> None:
    path = tmp_path / "test_hanging.py"
    path.write_text(HANGING)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RUN, str(Path(__file__).parent), str(path)],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Timeout (0:00:02)!" in done.stderr
    assert f'File "{path}", line 10 in hangs' in done.stderr
