"""Logins of the Hub's tool that are renewed, and identities of CI jobs that are exchanged: when, and how often."""

from __future__ import annotations

import configparser
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.authority import OAUTH, Authority
from support.children import elsewhere
from support.faults import FAST, FaultProxy, answer

import pyxet
from pyxet._async.http import renewal
from pyxet.errors import AuthenticationError, ConfigError, NotFoundError
from pyxet.testing import LocalEndpoint

DAY = 24 * 3600


def stored(home: Path, name: str = "oauth-acme") -> dict[str, str]:
    config = configparser.ConfigParser(interpolation=None)
    config.read(home / "stored_tokens")
    return dict(config[name])


# -- logins of the Hub's tool ------------------------------------------------------------------------------------------


@pytest.mark.needs("modes")
def test_a_login_is_renewed_a_day_ahead(home: Path, proxy: FaultProxy, authority: Authority, main: str) -> None:
    token = authority.login(home, expires_at=int(time.time()) + DAY - 600)
    fs = pyxet.XetFS(retry=FAST)
    with fs.transaction as tr:
        fs.pipe(f"{main}/a.txt", b"a")
        # Renewed by now, and still the same account.
        pyxet.XetFS(retry=FAST, listings_expiry_time=3).pipe(f"{main}/b.txt", b"b")
    assert len(tr.commits) == 1
    assert len(authority.asked) == 1
    new = (home / "token").read_text()
    assert new != token
    assert stored(home) == {
        "hf_token": new, "refresh_token": next(iter(authority.refreshing)), "expires_at": stored(home)["expires_at"],
    }  # fmt: skip
    assert abs(int(stored(home)["expires_at"]) - time.time() - authority.life) < 600
    assert stored(home, "another one, 100 %") == {"hf_token": "hf_another"}
    assert {path.stat().st_mode & 0o777 for path in (home / "token", home / "stored_tokens")} == {0o600}
    # Nothing else was asked for the old token, and it is the same instance.
    assert {item.headers.get("Authorization") for item in proxy.seen if "/api/" in item.line} == {f"Bearer {new}"}
    assert pyxet.XetFS(retry=FAST) is fs


def test_a_login_with_time_left_is_left_alone(home: Path, authority: Authority) -> None:
    authority.login(home, expires_at=int(time.time()) + 2 * DAY)
    assert pyxet.XetFS(retry=FAST).get_username() == "acme"
    assert authority.asked == []


def test_a_short_life_is_not_renewed_with_each_request(home: Path, authority: Authority, main: str) -> None:
    authority.life = 600
    authority.login(home, expires_at=int(time.time()) + 60)
    fs = pyxet.XetFS(retry=FAST)
    for number in range(3):
        fs.pipe(f"{main}/a.txt", b"%d" % number)
    assert len(authority.asked) == 1


def test_a_login_that_is_refused_is_renewed(home: Path, authority: Authority) -> None:
    """A clock may be wrong, and a token may be revoked."""
    token = authority.login(home, expires_at=int(time.time()) + 20 * DAY)
    fs = pyxet.XetFS(retry=FAST)
    assert fs.get_username() == "acme"
    authority.refuse(token)
    fs.ls("")
    assert len(authority.asked) == 1
    assert (home / "token").read_text() != token


def test_a_login_of_which_another_one_is_in_use(home: Path, authority: Authority) -> None:
    """``hf auth switch``: only the one that is in use is renewed."""
    authority.login(home, expires_at=1)
    (home / "token").write_text(other := authority.made())
    assert pyxet.XetFS(retry=FAST).get_username() == "acme"
    assert authority.asked == []
    assert (home / "token").read_text() == other


def test_a_session_that_has_ended(
    home: Path, proxy: FaultProxy, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    token = authority.login(home, expires_at=int(time.time()) + 3600)
    authority.refreshing.clear()
    fs = pyxet.XetFS(retry=FAST)
    # The token is good for an hour.
    assert fs.get_username() == "acme"
    fs.ls("")
    assert len(authority.asked) == 1
    assert "oauth-acme has ended and cannot be renewed; run hf auth login" in caplog.text
    assert token not in caplog.text
    authority.refuse(token)
    with pytest.raises(AuthenticationError, match="run hf auth login"):
        fs.ls("")
    # And then somebody does.
    authority.login(home, expires_at=int(time.time()) + 20 * DAY)
    fs.ls("")


def test_a_renewal_that_fails_is_tried_later(
    home: Path, proxy: FaultProxy, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    proxy.clear()
    failing = proxy.rule(OAUTH, answer(503))
    token = authority.login(home, expires_at=int(time.time()) + 3600)
    fs = pyxet.XetFS(retry=FAST)
    for _ in range(3):
        fs.ls("")
    assert failing.used == 1
    assert "was not renewed, and will be tried again" in caplog.text
    assert (home / "token").read_text() == token


PROCESS = """
import sys, pyxet, huggingface_hub
sys.stdin.readline()
if sys.argv[1] == "pyxet":
    print(pyxet.XetFS().get_username())
else:
    print(huggingface_hub.HfApi().whoami()["name"])
print(open(sys.argv[2]).read())
"""


@pytest.mark.parametrize("who", [("pyxet",) * 4, ("pyxet", "hf", "pyxet", "hf")], ids=["pyxet", "both"])
def test_processes_renew_a_login_once(who: tuple[str, ...], home: Path, authority: Authority) -> None:
    """Each refresh token is taken once: who renews it as well ends the session."""
    authority.login(home, expires_at=int(time.time()) + 3600)
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, name, str(home / "token")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in who
    ]

    def end(process: subprocess.Popen[str]) -> list[str]:
        out, err = process.communicate("go\n", timeout=120)
        assert process.returncode == 0, err
        return out.split()

    with ThreadPoolExecutor(len(started)) as pool:
        ended = list(pool.map(end, started))
    assert [name for name, _ in ended] == ["acme"] * len(who)
    assert len({token for _, token in ended}) == 1
    assert len(authority.asked) == 1
    assert len(authority.refreshing) == 1


def test_what_is_written_is_what_the_hubs_tool_reads(home: Path, authority: Authority) -> None:
    """And the other way round: it renews, and this process goes on with the same instance."""
    authority.login(home, expires_at=int(time.time()) + 3600)
    fs = pyxet.XetFS(retry=FAST)
    assert fs.get_username() == "acme"
    names = "import json, huggingface_hub as h; from huggingface_hub.utils import get_stored_tokens as s"
    told = json.loads(elsewhere(f"{names}; print(json.dumps([h.get_token(), s()]))"))
    assert told == [(home / "token").read_text(), {"oauth-acme": told[0], "another one, 100 %": "hf_another"}]
    assert len(authority.asked) == 1
    authority.refuse(told[0])
    authority.login(home, expires_at=int(time.time()) + 3600)
    assert elsewhere("import huggingface_hub as h; print(h.HfApi().whoami()['name'])") == "acme"
    assert len(authority.asked) == 2
    fs.ls("")
    assert len(authority.asked) == 2


# -- CI jobs -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch, home: Path) -> Iterator[pytest.MonkeyPatch]:
    """A CI job without secrets."""
    monkeypatch.setenv("HF_OIDC_RESOURCE", "acme/titanic")
    yield monkeypatch
    renewal._exchanged.clear()


def test_a_jobs_identity_is_exchanged(
    job: pytest.MonkeyPatch, authority: Authority, proxy: FaultProxy, main: str
) -> None:
    job.setenv("HF_OIDC_ID_TOKEN", "of-the-ci")
    # It comes before these.
    job.setenv("HF_TOKEN", "hf_wrong")
    authority.identities.add("of-the-ci")
    fs = pyxet.XetFS(retry=FAST)
    fs.pipe(f"{main}/a.txt", b"a")
    assert fs.get_username() == "acme"
    # Once for the process, whatever the instance.
    assert pyxet.XetFS(retry=FAST, listings_expiry_time=7).get_username() == "acme"
    assert authority.asked == [{
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
        "subject_token": "of-the-ci",
        "resource": "acme/titanic",
    }]  # fmt: skip
    asked = elsewhere("import huggingface_hub as h; print(h.HfApi().whoami()['name'])")
    assert asked == "acme"
    assert authority.asked[0] == authority.asked[1]
    # An end is seen ahead of time where the endpoint says when it is, and else when the token is refused.
    used = {item.headers["Authorization"] for item in proxy.seen if item.line == "GET /api/whoami-v2"}
    for header in used:
        authority.refuse(header.removeprefix("Bearer "))
    fs.ls("")
    assert len(authority.asked) == 3


def test_an_end_is_seen_ahead_of_time(job: pytest.MonkeyPatch, authority: Authority) -> None:
    job.setenv("HF_OIDC_ID_TOKEN", "of-the-ci")
    authority.identities.add("of-the-ci")
    authority.life = 0
    fs = pyxet.XetFS(retry=FAST)
    for _ in range(2):
        fs.ls("")
    before = len(authority.asked)
    assert before >= 2
    authority.life = 3600
    fs.ls("")
    fs.ls("")
    assert len(authority.asked) == before + 1


def test_a_job_of_github_actions(job: pytest.MonkeyPatch, authority: Authority, proxy: FaultProxy) -> None:
    job.setenv("GITHUB_ACTIONS", "true")
    with pytest.raises(ConfigError, match="id-token: write"):
        pyxet.XetFS(retry=FAST).get_username()
    job.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", f"{proxy.url}/identity?api-version=2.0")
    job.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "wrong")
    with pytest.raises(AuthenticationError, match="it answered 401; give the job the permission id-token: write"):
        pyxet.XetFS(retry=FAST).get_username()
    job.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "of-the-job")
    assert pyxet.XetFS(retry=FAST).get_username() == "acme"
    assert authority.asked[0]["subject_token"].startswith(f"{proxy.url}#")


def test_a_job_whose_exchange_fails(job: pytest.MonkeyPatch, authority: Authority, home: Path) -> None:
    """There is no way back to another token: whoever sets the variable wants this one."""
    home.mkdir()
    (home / "token").write_text(authority.made())
    with pytest.raises(ConfigError, match="HF_OIDC_ID_TOKEN, or unset HF_OIDC_RESOURCE"):
        pyxet.XetFS(retry=FAST).get_username()
    job.setenv("HF_OIDC_ID_TOKEN", "of-a-stranger")
    with pytest.raises(AuthenticationError, match="not one of a trusted publisher; check HF_OIDC_RESOURCE") as caught:
        pyxet.XetFS(retry=FAST).get_username()
    assert "of-a-stranger" not in str(caught.value)
    job.delenv("HF_OIDC_RESOURCE")
    assert pyxet.XetFS(retry=FAST).get_username() == "acme"


def test_a_job_at_another_endpoint_has_no_identity(
    job: pytest.MonkeyPatch, shared_endpoint: LocalEndpoint, main: str
) -> None:
    job.setenv("HF_ENDPOINT", "http://localhost:1")
    with pytest.raises(NotFoundError):
        pyxet.XetFS(shared_endpoint.url, retry=FAST).info(f"{main}/nothing")
