"""What an unused file system imports, and where the rest is imported: read from ``sys.modules`` of fresh interpreters."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

from pyxet.testing import LocalEndpoint

# What only requests, the command and the local endpoint need.
HEAVY = {
    "aiofiles", "aiohttp", "click", "difflib", "msgspec", "numpy", "pandas", "pyarrow", "pygit2", "rich", "upath",
    "pyxet._async.client", "pyxet._async.http", "pyxet._async.endpoint", "pyxet._async.upload", "pyxet.cli", "pyxet.ingestion",
    "pyxet.protocol.messages", "pyxet.protocol.shard", "pyxet.protocol.xorb", "pyxet.server",
}  # fmt: skip


def modules_after(code: str, *arguments: str) -> list[str]:
    """The names that ``code`` leaves in a dictionary ``told``, as a fresh interpreter prints it."""
    program = textwrap.dedent(code) + "\nimport json, sys\nprint(json.dumps(told))\n"
    environment = {"XET_USER_NAME": "ann", "XET_USER_TOKEN": "token", "XET_ENDPOINT": "http://localhost:1"}
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout)
    return found


def test_an_unused_file_system_imports_nothing_that_only_requests_need() -> None:
    loaded = modules_after(
        """
        import sys, pyxet
        pyxet.XetFS()
        told = sorted(sys.modules)
        """
    )
    assert "pyxet.fs" in loaded
    assert not HEAVY.intersection(loaded)


def test_the_package_alone_imports_no_file_system() -> None:
    loaded = modules_after("import sys, pyxet\ntold = sorted(sys.modules)")
    assert not HEAVY.intersection(loaded)
    assert "fsspec" not in loaded


def test_nothing_is_imported_on_an_event_loop(shared_endpoint: LocalEndpoint, tmp_path: Path) -> None:
    """Importing is blocking work, a good part of a second of it; asynchronous and blocking callers, reads and writes."""
    imported = modules_after(
        """
        import asyncio, builtins, sys
        import pyxet
        url, token, folder = sys.argv[1:]
        told = []

        class OnLoops:
            def find_spec(self, name, path=None, target=None):
                if name.startswith("pyxet") and asyncio._get_running_loop() is not None:
                    told.append(name)

        sys.meta_path.insert(0, OnLoops())

        async def work(fs, name):
            async with fs:
                await fs._pipe({f"{name}/main/a.bin": bytes(100_000), f"{name}/main/b.txt": b"text"})
                await fs._cat_file(f"{name}/main/a.bin", 10, 20)
                await fs._get(f"{name}/main", f"{folder}/one", recursive=True)
                [_ async for _ in fs._diff(name, "main", "main")]
                await fs._mv(f"{name}/main/a.bin", f"{name}/main/c.bin")

        blocking = pyxet.XetFS(url, token=token)
        blocking.make_repo("acme/lazy")
        blocking.pipe("acme/lazy/main/a.bin", bytes(100_000))
        blocking.get("acme/lazy/main", f"{folder}/two", recursive=True)
        asyncio.run(work(pyxet.AsyncXetFileSystem(url, token=token, asynchronous=True), "acme/lazy"))
        """,
        shared_endpoint.url,
        shared_endpoint.token,
        str(tmp_path),
    )
    assert imported == []
