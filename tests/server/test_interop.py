"""pyxet and hf-xet over one endpoint: what one writes the other reads, byte for byte and hash for hash."""

from __future__ import annotations

import hashlib
import os
import random
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.hf_client import run_hf

import pyxet
from pyxet.testing import LocalEndpoint, local_endpoint

MIB = 1024 * 1024
REPO = "acme/interop"


def text(length: int) -> bytes:
    source = random.Random(3)
    rows = bytearray()
    while len(rows) < length:
        rows += (
            f"{source.randrange(10**6)},{source.choice(['alpha', 'beta', 'gamma'])},{source.random():.6f}\n".encode()
        )
    return bytes(rows[:length])


def float32(length: int) -> bytes:
    source = random.Random(4)
    return struct.pack(f"<{length // 4}f", *(source.gauss(0, 0.02) for _ in range(length // 4)))


CONTENTS = {
    "random.bin": random.Random(1).randbytes(5 * MIB + 17),
    "text.csv": text(3 * MIB),
    "float32.bin": float32(2 * MIB),
    "repeat.bin": (random.Random(5).randbytes(200_000) * 50)[: 9 * MIB],
    "zeros.bin": bytes(2 * MIB),
    "empty.bin": b"",
    "tiny.bin": b"\xff\x00\x01",
    "tiny.txt": b"a few words\n",
}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[LocalEndpoint]:
    with local_endpoint() as running:
        pyxet.XetFS(endpoint=running.url, user=running.user, token=running.token).make_repo(REPO)
        yield running


@pytest.fixture
def fs(endpoint: LocalEndpoint) -> pyxet.XetFS:
    # The other client commits behind our back, so the branch is looked at each time.
    return pyxet.XetFS(endpoint=endpoint.url, user=endpoint.user, token=endpoint.token, listings_expiry_time=0)


def write_contents(folder: Path) -> None:
    folder.mkdir()
    for name, content in CONTENTS.items():
        (folder / name).write_bytes(content)


def test_hf_reads_what_pyxet_writes(endpoint: LocalEndpoint, fs: pyxet.XetFS, tmp_path: Path) -> None:
    write_contents(tmp_path / "source")
    fs.put(f"{tmp_path}/source/", f"{REPO}/main/ours/", recursive=True)
    found = run_hf(
        endpoint,
        """
import hashlib, pathlib, hf_xet
for name in given["names"]:
    path = hf_hub_download(given["repo"], f"ours/{name}", endpoint=os.environ["HF_ENDPOINT"], local_dir="out")
    data = pathlib.Path(path).read_bytes()
    [info] = hf_xet.hash_files([path])
    answer[name] = [hashlib.sha256(data).hexdigest(), info.hash]
""",
        repo=REPO,
        names=sorted(CONTENTS),
    )
    for name, content in CONTENTS.items():
        sha256, xet_hash = found[name]
        assert sha256 == hashlib.sha256(content).hexdigest(), name
        info = fs.info(f"{REPO}/main/ours/{name}")
        stored_in_xet = name not in ("empty.bin", "tiny.txt")
        assert info.get("xet_hash") == (xet_hash if stored_in_xet else None), name


def test_pyxet_reads_what_hf_writes(endpoint: LocalEndpoint, fs: pyxet.XetFS, tmp_path: Path) -> None:
    write_contents(tmp_path / "source")
    hashes = run_hf(
        endpoint,
        """
import hf_xet, pathlib
api.upload_folder(repo_id=given["repo"], folder_path=given["folder"], path_in_repo="theirs")
answer = {path.name: hf_xet.hash_files([str(path)])[0].hash for path in pathlib.Path(given["folder"]).iterdir()}
""",
        repo=REPO,
        folder=str(tmp_path / "source"),
    )
    fs.get(f"{REPO}/main/theirs/", f"{tmp_path}/got/", recursive=True)
    for name, content in CONTENTS.items():
        assert (tmp_path / "got" / name).read_bytes() == content, name
        assert fs.cat(f"{REPO}/main/theirs/{name}") == content, name
        assert fs.cat_file(f"{REPO}/main/theirs/{name}", 1, 70_000) == content[1:70_000], name
        xet_hash = fs.info(f"{REPO}/main/theirs/{name}").get("xet_hash")
        assert xet_hash in (None, hashes[name]), name
        assert (xet_hash is None) == (name in ("empty.bin", "tiny.txt")), name


def test_200_mib_both_ways(endpoint: LocalEndpoint, fs: pyxet.XetFS, tmp_path: Path) -> None:
    source = tmp_path / "big.bin"
    source.write_bytes(random.Random(9).randbytes(200 * MIB))
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    fs.put(str(source), f"{REPO}/main/big-ours.bin")
    ours = run_hf(
        endpoint,
        """
import hashlib, hf_xet
path = hf_hub_download(given["repo"], "big-ours.bin", endpoint=os.environ["HF_ENDPOINT"], local_dir="out")
answer = [hashlib.file_digest(open(path, "rb"), "sha256").hexdigest(), hf_xet.hash_files([path])[0].hash]
""",
        repo=REPO,
    )
    assert ours == [digest, fs.info(f"{REPO}/main/big-ours.bin")["xet_hash"]]

    code = """
api.upload_file(path_or_fileobj=given["path"], path_in_repo="big-theirs.bin", repo_id=given["repo"])
"""
    source.write_bytes(random.Random(10).randbytes(200 * MIB))
    run_hf(endpoint, code, repo=REPO, path=str(source))
    fs.get(f"{REPO}/main/big-theirs.bin", str(tmp_path / "got.bin"))
    with (tmp_path / "got.bin").open("rb") as got, source.open("rb") as expected:
        assert hashlib.file_digest(got, "sha256").digest() == hashlib.file_digest(expected, "sha256").digest()


def stored_xorb_bytes(endpoint: LocalEndpoint) -> int:
    return sum(path.stat().st_size for path in (endpoint.root / "xorbs").rglob("*") if path.is_file())


def test_a_changed_file_sends_what_changed_by_chunk_queries_alone(tmp_path: Path) -> None:
    """200 MiB, then the same with 1 MiB in the middle, from another process that knows nothing of the first."""
    content = random.Random(11).randbytes(200 * MIB)
    source = tmp_path / "big.bin"
    upload = (
        "import sys, pyxet\n"
        "fs = pyxet.XetFS()\n"
        "fs.put(sys.argv[1], 'acme/growing/main/big.bin')\n"
    )  # fmt: skip
    with local_endpoint() as endpoint:
        fs = pyxet.XetFS(endpoint=endpoint.url, user=endpoint.user, token=endpoint.token)
        fs.make_repo("acme/growing")
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(tmp_path), "XET_ENDPOINT": endpoint.url,
            "XET_USER_NAME": endpoint.user, "XET_USER_TOKEN": endpoint.token,
        }  # fmt: skip
        sizes = []
        middle = 100 * MIB + 12345
        for data in (content, content[:middle] + random.Random(12).randbytes(MIB) + content[middle:]):
            source.write_bytes(data)
            subprocess.run([sys.executable, "-c", upload, str(source)], env=environment, cwd=tmp_path, check=True)
            sizes.append(stored_xorb_bytes(endpoint))
        assert sizes[0] >= 200 * MIB
        assert MIB <= sizes[1] - sizes[0] < 4 * MIB
        assert fs.info("acme/growing/main/big.bin")["size"] == 201 * MIB
        assert hashlib.sha256(fs.cat("acme/growing/main/big.bin")).digest() == hashlib.sha256(data).digest()
