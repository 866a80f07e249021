"""TLS: all clients over it, and no address that other machines reach without it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.gits import git_at_home
from support.stores import DATA

import pyxet
from pyxet.config import RetryPolicy
from pyxet.errors import ConfigError, ConnectionFailedError
from pyxet.server.running import LocalEndpoint

CERTIFICATE, KEY = str(DATA / "tls" / "cert.pem"), str(DATA / "tls" / "key.pem")
CLIENTS = """
import sys, pyxet, huggingface_hub
url, token = sys.argv[1:]
fs = pyxet.XetFS(url, token=token)
fs.make_repo("test/r", private=True)
content = bytes(range(256)) * 20_000
fs.pipe("test/r/main/large.bin", content)
assert fs.cat("test/r/main/large.bin") == content
assert fs.cat_file("test/r/main/large.bin", 1_000_000, 1_000_100) == content[1_000_000:1_000_100]
# Through other routes, whose addresses begin with https as well.
api = huggingface_hub.HfApi(endpoint=url, token=token)
assert str(api.create_commit("test/r", operations=[], commit_message="none").commit_url).startswith(url)
path = huggingface_hub.hf_hub_download("test/r", "large.bin", endpoint=url, token=token)
assert open(path, "rb").read() == content
print(fs.get_username())
"""


def test_clients_over_tls(tmp_path: Path) -> None:
    with LocalEndpoint(tmp_path / "root", tls=(CERTIFICATE, KEY)) as endpoint:
        assert endpoint.url.startswith("https://127.0.0.1:")
        # The Hub's tool reads without hf_xet, which trusts other certificates.
        trusting = os.environ | {
            "SSL_CERT_FILE": CERTIFICATE,
            "HF_HOME": str(tmp_path / "hf"),
            "HF_HUB_DISABLE_XET": "1",
        }
        done = subprocess.run(
            [sys.executable, "-c", CLIENTS, endpoint.url, endpoint.token],
            capture_output=True, text=True, env=trusting, check=False, timeout=170,
        )  # fmt: skip
        assert done.stdout == "test\n", done.stderr
        git = git_at_home(tmp_path / "git", GIT_SSL_CAINFO=CERTIFICATE)
        git("clone", "--quiet", endpoint.url.replace("://", f"://test:{endpoint.token}@") + "/test/r", "work")
        assert (tmp_path / "git" / "work" / "large.bin").stat().st_size == 256 * 20_000


def test_a_certificate_that_nobody_trusts(tmp_path: Path) -> None:
    with LocalEndpoint(tmp_path, tls=(CERTIFICATE, KEY)) as endpoint:
        fs = pyxet.XetFS(endpoint.url, token=endpoint.token, retry=RetryPolicy(1))
        with pytest.raises(ConnectionFailedError, match=r"certificate of 127\.0\.0\.1:\d+ is refused.*SSL_CERT_FILE"):
            fs.get_username()


def test_a_certificate_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no certificate")
    for tls in ((KEY, CERTIFICATE), (str(tmp_path / "text"), KEY), (str(tmp_path / "nothing"), KEY)):
        with pytest.raises(ConfigError, match="certificate"), LocalEndpoint(tmp_path / "root", tls=tls):
            pass


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.1", "data.lan"])
def test_other_machines_connect_with_tls_only(host: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--tls-cert and --tls-key"), LocalEndpoint(tmp_path / "root", host=host):
        pass
    assert not (tmp_path / "root").exists()


@pytest.mark.parametrize(
    "more", [["--tls-cert", CERTIFICATE, "--tls-key", KEY], ["--insecure"]], ids=["tls", "insecure"]
)
def test_xet_serve_for_other_machines(more: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-m", "pyxet", "serve", "--root", str(tmp_path / "root"), "--port", "0"]
    options = ["--host", "0.0.0.0", "--allowed-host", "data.lan", "--json"]
    with subprocess.Popen([*command, *options, *more], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            told = json.loads(process.stdout.readline())
        finally:
            process.terminate()
    assert told["url"].startswith("https://" if "--tls-key" in more else "http://")
    assert process.returncode == 0
    for options, code, says in (
        (["--host", "0.0.0.0"], 1, "other machines reach 0.0.0.0"),
        (["--tls-cert", CERTIFICATE], 2, "--tls-cert and --tls-key go together"),
    ):
        done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
        assert (done.returncode, says in done.stderr) == (code, True), done.stderr
