"""The other clients, ``huggingface_hub`` and ``hf_xet``, in a fresh process without the caches of earlier runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

_PROLOGUE = '''
import json, sys, os
from huggingface_hub import HfApi, HfFileSystem, hf_hub_download, snapshot_download
api = HfApi(endpoint=os.environ["HF_ENDPOINT"], token=os.environ["HF_TOKEN"])
given = json.loads(sys.argv[1])
answer = {}

def failure(call, *arguments, **named):
    """The name of the error that a call raises, and what it says."""
    try:
        call(*arguments, **named)
    except Exception as error:
        return [type(error).__name__, str(error)]

def failing(call, *arguments, **named):
    """The name of that error."""
    told = failure(call, *arguments, **named)
    return told and told[0]
'''


class Known(Protocol):
    """What the other clients need of an endpoint."""

    @property
    def url(self) -> str: ...
    @property
    def token(self) -> str: ...


@dataclass(frozen=True)
class Through:
    """An endpoint for clients that connect through a proxy."""

    url: str
    token: str


def run_hf(endpoint: Known, code: str, /, *, xet: bool = True, **given: Any) -> Any:
    """Run ``code``, which can use ``api``, ``given``, ``failing`` and ``failure``; return its ``answer`` (sent as JSON).

    With ``xet=False`` Xet is disabled in the clients.

    The process has a home and caches of its own, so nothing is deduplicated against earlier runs of the client.
    """
    with tempfile.TemporaryDirectory() as home:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": home,
            "HF_HOME": str(Path(home) / "hf"),
            "HF_XET_CACHE": str(Path(home) / "xet"),
            "HF_ENDPOINT": endpoint.url,
            "HF_TOKEN": endpoint.token,
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_XET_CLIENT_RETRY_BASE_DELAY": "100ms",
            **({} if xet else {"HF_HUB_DISABLE_XET": "1"}),
        }
        script = f"{_PROLOGUE}\n{code}\nprint('ANSWER ' + json.dumps(answer))\n"
        done = subprocess.run(
            [sys.executable, "-c", script, json.dumps(given)],
            capture_output=True, text=True, env=environment, cwd=home, timeout=170, check=False,
        )  # fmt: skip
    assert done.returncode == 0, f"the peer failed:\n{done.stderr[-4000:]}"
    lines = [line for line in done.stdout.splitlines() if line.startswith("ANSWER ")]
    return json.loads(lines[-1].removeprefix("ANSWER "))
