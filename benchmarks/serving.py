"""Starting the servers of the benchmarks, and talking to their control routes."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import link
from prepare import load

from pyxet.protocol.hashing import hash_from_hex, term_hash
from pyxet.protocol.shard import FileEntry, ShardChunk, Term, XorbEntry, write_upload_shard

HERE = Path(__file__).parent
TOKEN = "xet_bench_token"
LATENCY_AFAR = 2 * link.DELAY


@dataclass(frozen=True)
class Server:
    """A running server."""

    url: str
    token: str = TOKEN
    user: str = "bench"
    # The URL without the link that clients go through, and the process of that link.
    direct: str = ""
    link: int = 0

    def control(self, what: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Call a control route."""
        return self._call(f"/control/{what}", None if what == "counters" else json.dumps(body or {}).encode())

    def create_repo(self, name: str) -> None:
        """Make a repository of the local endpoint."""
        self._call("/api/repos/create", json.dumps({"name": name, "organization": self.user}).encode())

    def commit(self, repo: str, lines: list[dict[str, Any]]) -> None:
        """Make a commit of the local endpoint."""
        body = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        self._call(f"/api/models/{repo}/commit/main", body)

    def fill(self, repo: str, manifest: Path) -> None:
        """Store prepared content in the local endpoint."""
        token = self._call(f"/api/models/{repo}/xet-write-token/main")["accessToken"]
        prepared = load(manifest)
        for name in prepared.xorbs:
            self._call(f"/v1/xorbs/default/{name}", (manifest.parent / "xorbs" / name).read_bytes(), token)
        self._call("/v1/shards", upload_shard(manifest), token)

    def _call(self, path: str, body: bytes | None = None, token: str | None = None) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {token or self.token}", "Content-Type": "application/json"}
        request = urllib.request.Request((self.direct or self.url) + path, data=body, headers=headers)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
            told: dict[str, Any] = json.loads(answer.read() or b"{}")
            return told


def upload_shard(manifest: Path) -> bytes:
    """The shard that registers prepared content."""
    prepared = load(manifest)
    files = []
    for file in prepared.files:
        terms = tuple(Term(hash_from_hex(term.xorb), term.start, term.end, term.length) for term in file.terms)
        checks = tuple(
            term_hash(chunk.hash for chunk in prepared.xorbs[term.xorb][term.start : term.end]) for term in file.terms
        )
        files.append(FileEntry(hash_from_hex(file.file_hash), terms, checks, file.sha256))
    xorbs = [
        XorbEntry(hash_from_hex(name), tuple(ShardChunk(chunk.hash, chunk.length) for chunk in chunks))
        for name, chunks in prepared.xorbs.items()
    ]
    return write_upload_shard(files, xorbs)


@contextmanager
def lean() -> Iterator[Server]:
    """The lean server."""
    with _process("lean_server.py") as (url, _):
        yield Server(url)


@contextmanager
def far(server: Server) -> Iterator[Server]:
    """A server behind the simulated network; see `link`."""
    with _process("link.py", server.url.rpartition(":")[2]) as (url, process):
        yield Server(url, server.token, server.user, direct=server.url, link=process)


@contextmanager
def local(root: Path) -> Iterator[Server]:
    """The local endpoint over a directory."""
    with _process("local_server.py", str(root), TOKEN) as (url, _):
        yield Server(url)


@contextmanager
def fresh_local(folder: Path, *repos: str) -> Iterator[Server]:
    """The local endpoint over a directory of its own, which goes away with it."""
    root = Path(tempfile.mkdtemp(prefix="endpoint-", dir=folder))
    try:
        with local(root) as server:
            for repo in repos:
                server.create_repo(repo)
            yield server
    finally:
        shutil.rmtree(root, ignore_errors=True)


@contextmanager
def sink(folder: Path) -> Iterator[Server]:
    """A server that writes and syncs what it is sent, to a folder of its own, which goes away with it."""
    root = Path(tempfile.mkdtemp(prefix="sink-", dir=folder))
    try:
        with _process("sink_server.py", str(root)) as (url, _):
            yield Server(url)
    finally:
        shutil.rmtree(root, ignore_errors=True)


NGINX = shutil.which("nginx")
_NGINX_CONFIG = """\
{user}
daemon off;
pid {folder}/pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    sendfile on;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""


@contextmanager
def static_files(root: Path) -> Iterator[str]:
    """The URL of a folder as nginx serves it; empty where nginx is not installed."""
    if NGINX is None:
        yield ""
        return
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="nginx-") as folder:
        config = Path(folder) / "nginx.conf"
        user = "user root;" if os.geteuid() == 0 else ""
        config.write_text(_NGINX_CONFIG.format(user=user, folder=folder, port=port, root=root))
        process = subprocess.Popen([NGINX, "-c", str(config), "-e", "stderr", "-p", folder])
        try:
            _wait_for(port)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait()


def _wait_for(port: int) -> None:
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("nginx did not start")


@contextmanager
def _process(script: str, *arguments: str) -> Iterator[tuple[str, int]]:
    process = subprocess.Popen(
        [sys.executable, str(HERE / script), *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin
    assert process.stdout
    try:
        url = process.stdout.readline().strip()
        if not url:
            raise RuntimeError(f"{script} did not start")
        yield url, process.pid
    finally:
        process.stdin.close()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
