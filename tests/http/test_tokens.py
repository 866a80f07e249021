"""Tokens that change: where they are looked for again, what renews them, and how often."""

from __future__ import annotations

import asyncio
import configparser
import json
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.authority import OAUTH, Authority
from support.faults import FAST, WHOAMI, FaultProxy, answer

import pyxet
from pyxet._async.http import renewal
from pyxet.config import TokenFunction
from pyxet.errors import AuthenticationError, ConfigError, NotFoundError
from pyxet.secrets import Secret
from pyxet.testing import LocalEndpoint

DAY = 24 * 3600


@pytest.fixture
def proxy(shared_endpoint: LocalEndpoint) -> Iterator[FaultProxy]:
    with FaultProxy(shared_endpoint.url) as running:
        yield running


@pytest.fixture
def authority(shared_endpoint: LocalEndpoint, proxy: FaultProxy) -> Authority:
    return Authority(shared_endpoint, proxy)


@pytest.fixture
def home(proxy: FaultProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the Hub's tool, whose endpoint is the proxy."""
    monkeypatch.setenv("HF_ENDPOINT", proxy.url)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    return tmp_path / "hf"


def stored(home: Path, name: str = "oauth-acme") -> dict[str, str]:
    config = configparser.ConfigParser(interpolation=None)
    config.read(home / "stored_tokens")
    return dict(config[name])


def elsewhere(code: str, *arguments: str) -> str:
    """What another process prints, as in another terminal."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# -- looked for again --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["hf_old", ""], ids=["another token", "no token"])
@pytest.mark.parametrize("source", ["login file", "hub file", "HF_TOKEN", "XET_USER_TOKEN", "pyxet.login"])
def test_an_instance_outlives_a_login(
    source: str,
    first: str,
    home: Path,
    proxy: FaultProxy,
    authority: Authority,
    main: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def log_in(token: str) -> None:
        if source == "login file":
            elsewhere("import sys, pyxet.config; pyxet.config.login('acme', sys.argv[1], save=True)", token)
        elif source == "hub file":
            home.mkdir(exist_ok=True)
            (home / "token").write_text(token)
        elif source == "pyxet.login":
            pyxet.login("acme", token, check=False)
        else:
            monkeypatch.setenv(source, token)

    if first:
        log_in(first)
    fs = pyxet.XetFS(retry=FAST)
    with pytest.raises(AuthenticationError, match="does not accept the token" if first else "no token was sent"):
        fs.pipe(f"{main}/a.txt", b"a")
    log_in(authority.made())
    fs.pipe(f"{main}/a.txt", b"a")
    assert fs.cat(f"{main}/a.txt") == b"a"
    assert fs.get_username() == "acme"
    assert "acme" in fs.ls("", detail=False)
    pyxet.logout(saved=True)


def test_a_private_repository_appears_after_a_login(
    home: Path, authority: Authority, repo: str, xet: pyxet.XetFS
) -> None:
    """Who sends no token is told that it is not there."""
    xet.pipe(f"{repo}/main/a.txt", b"a")
    xet.set_repo_attr(repo, "private", True)
    fs = pyxet.XetFS(retry=FAST)
    home.mkdir()
    (home / "token").write_text(authority.made())
    assert fs.cat(f"{repo}/main/a.txt") == b"a"


def test_a_token_that_was_given_is_the_only_one(proxy: FaultProxy, authority: Authority, home: Path) -> None:
    home.mkdir()
    (home / "token").write_text(authority.made())
    for token in ("wrong", Secret("wrong"), ""):
        with pytest.raises(AuthenticationError):
            pyxet.XetFS(token=token, retry=FAST).get_username()
    assert proxy.count(WHOAMI) == 3
    # Nor does it share a client with one of the same text that was found.
    (home / "token").write_text("wrong")
    found, given = pyxet.XetFS(retry=FAST), pyxet.XetFS(token="wrong", retry=FAST)
    (home / "token").write_text(authority.made())
    assert found.get_username() == "acme"
    with pytest.raises(AuthenticationError):
        given.get_username()


def test_the_message_says_what_to_do(home: Path, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> str:
        with pytest.raises(AuthenticationError) as caught:
            pyxet.XetFS(retry=FAST).get_username()
        assert "wrong" not in str(caught.value)
        assert f"{proxy.url} does not accept the token " in str(caught.value)
        return str(caught.value)

    home.mkdir()
    (home / "token").write_text("wrong")
    assert f"in {home / 'token'}; run hf auth login" in refused()
    pyxet.config.login("acme", "wrong", save=True)
    pyxet.logout()
    assert "that xet login saved in" in refused()
    assert "run xet login again" in refused()
    pyxet.logout(saved=True)
    for name in ("HUGGING_FACE_HUB_TOKEN", "HF_TOKEN", "XET_USER_TOKEN"):
        monkeypatch.setenv(name, "wrong")
        assert f"of {name}; put another one into {name}, or unset it" in refused()


async def test_all_who_wait_look_once(
    home: Path, proxy: FaultProxy, authority: Authority, main: str, xet: pyxet.XetFS, monkeypatch: pytest.MonkeyPatch
) -> None:
    xet.pipe(f"{main}/a.txt", b"a")
    asked: list[str] = []

    async def token() -> str:
        asked.append("")
        # The others wait meanwhile.
        await asyncio.sleep(0)
        return "wrong" if len(asked) == 1 else good

    good = authority.made()
    async with pyxet.AsyncXetFileSystem(token=token, asynchronous=True, retry=FAST) as fs:
        names = await asyncio.gather(*(fs._get_username() for _ in range(40)))
        assert set(names) == {"acme"}
        assert len(asked) == 2
        assert proxy.count(WHOAMI) <= 80
        assert await fs._cat(f"{main}/a.txt") == b"a"
        assert len(asked) == 2


async def test_all_who_fail_look_once(home: Path, proxy: FaultProxy, authority: Authority) -> None:
    asked: list[str] = []

    def token() -> str:
        asked.append("")
        return f"wrong{len(asked)}"

    async with pyxet.AsyncXetFileSystem(token=token, asynchronous=True, retry=FAST) as fs:
        for call in range(1, 4):
            with pytest.raises(
                AuthenticationError, match="the function given as token= returned; the function was asked again"
            ):
                await fs._get_username()
            # Once before the first request, and once after each refusal.
            assert len(asked) == 1 + call


# -- functions ---------------------------------------------------------------------------------------------------------


class Vault:
    """Something that is called and has no hash."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, token: str) -> None:
        self.token = token
        self.asked = 0

    def __call__(self) -> str:
        self.asked += 1
        return self.token


class AsyncVault(Vault):
    async def __call__(self) -> str:  # type: ignore[override]
        return super().__call__()


def test_a_function_is_asked(proxy: FaultProxy, authority: Authority, main: str) -> None:
    async def later() -> str:
        await asyncio.sleep(0)
        return authority.made()

    vaults = [Vault(authority.made()), AsyncVault(authority.made())]
    functions: list[TokenFunction] = [authority.made, later, lambda: later(), lambda: Secret(authority.made()), *vaults]
    for function in functions:
        fs = pyxet.XetFS(proxy.url, token=function, retry=FAST)
        fs.pipe(f"{main}/a.txt", b"a")
        assert fs.get_username() == "acme"
        assert "acme" in fs.ls("", detail=False)
        assert "token" not in fs.to_dict(include_password=False)
    assert [vault.asked for vault in vaults] == [1, 1]
    # It is asked again when the token is refused, and the instance is the same.
    vault = vaults[0]
    fs = pyxet.XetFS(proxy.url, token=vault, retry=FAST)
    authority.refuse(vault.token)
    vault.token = authority.made()
    assert fs.get_username() == "acme"
    assert vault.asked == 2
    assert pyxet.XetFS(proxy.url, token=vault, retry=FAST) is fs


def test_a_function_without_a_token_is_nobody(proxy: FaultProxy, main: str) -> None:
    for nothing in (None, "", Secret("")):
        with pytest.raises(AuthenticationError, match="no token was sent"):
            pyxet.XetFS(proxy.url, token=lambda nothing=nothing: nothing, retry=FAST).get_username()  # type: ignore[misc]


def test_a_function_that_fails(proxy: FaultProxy, main: str) -> None:
    def fails() -> str:
        raise LookupError("the vault is closed")

    with pytest.raises(LookupError, match="the vault is closed"):
        pyxet.XetFS(proxy.url, token=fails, retry=FAST).get_username()
    with pytest.raises(ConfigError, match="returned a bytes"):
        pyxet.XetFS(proxy.url, token=lambda: b"xet_x", retry=FAST).get_username()  # type: ignore[arg-type,return-value]
    with pytest.raises(ConfigError, match="token is a bytes"):
        pyxet.XetFS(proxy.url, token=b"xet_x")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["function", "coroutine function"])
async def test_a_function_that_uses_its_own_file_system_is_told_so(
    kind: str, proxy: FaultProxy, authority: Authority, main: str
) -> None:
    """It would wait for itself, on whichever loop its file system is used."""
    tokens: list[str] = []

    def blocking() -> str:
        return tokens.pop() if tokens else blocked.cat(f"{main}/a.txt", timeout=30).decode()

    async def awaiting() -> str:
        if tokens:
            return tokens.pop()
        async with asyncio.timeout(30):
            return (await fs._cat(f"{main}/a.txt")).decode()

    function: TokenFunction = blocking if kind == "function" else awaiting
    blocked = pyxet.XetFS(proxy.url, token=function, retry=FAST)
    match = "uses the file system that waits for its answer"
    async with pyxet.AsyncXetFileSystem(proxy.url, token=function, asynchronous=True, retry=FAST) as fs:
        # The same branch as the function reads, so it must not wait for what is known of that either.
        with pytest.raises(ConfigError, match=match):
            await fs._cat(f"{main}/b.txt")
        if kind == "function":
            with pytest.raises(ConfigError, match=match):
                await asyncio.to_thread(blocked.cat, f"{main}/b.txt", timeout=60)
        # And when it is asked again.
        tokens.append(first := authority.made())
        await fs._pipe(f"{main}/b.txt", b"b")
        authority.refuse(first)
        with pytest.raises(ConfigError, match=match):
            await fs._pipe(f"{main}/b.txt", b"c")
        tokens.append(authority.made())
        assert await fs._cat(f"{main}/b.txt") == b"b"


async def test_what_a_function_leaves_running_may_use_its_file_system(
    proxy: FaultProxy, authority: Authority, main: str
) -> None:
    answered = asyncio.Event()
    left: list[asyncio.Task[bytes]] = []

    async def later() -> bytes:
        await answered.wait()
        content: bytes = await fs._cat(f"{main}/a.txt")
        return content

    async def token() -> str:
        left.append(asyncio.create_task(later()))
        return authority.made()

    async with pyxet.AsyncXetFileSystem(proxy.url, token=token, asynchronous=True, retry=FAST) as fs:
        await fs._pipe(f"{main}/a.txt", b"a")
        answered.set()
        assert await left[0] == b"a"


def test_a_function_may_use_another_file_system(proxy: FaultProxy, authority: Authority, main: str) -> None:
    other = pyxet.XetFS(proxy.url, token=authority.made(), retry=FAST)
    other.pipe(f"{main}/token.txt", authority.made().encode())
    functions: list[TokenFunction] = [lambda: other.cat(f"{main}/token.txt").decode()]
    functions.append(lambda: pyxet.XetFS(proxy.url, token=functions[0], retry=FAST).cat(f"{main}/token.txt").decode())
    for function in functions:
        assert pyxet.XetFS(proxy.url, token=function, retry=FAST).get_username() == "acme"


def of_the_module() -> str:
    return os.environ["TOKEN_OF_THE_TEST"]


def test_a_function_that_exits_ends_its_own_call_alone(proxy: FaultProxy, authority: Authority, main: str) -> None:
    """As helpers of command lines do. The loop is everybody's."""

    async def at_once() -> str:
        sys.exit("log in first")

    def in_a_thread() -> str:
        sys.exit("log in first")

    functions: list[TokenFunction] = [at_once, in_a_thread]
    for function in functions:
        with pytest.raises(RuntimeError, match="log in first"):
            pyxet.XetFS(proxy.url, token=function).ls(main)
    assert pyxet.XetFS(proxy.url, token=authority.endpoint.token).exists(main)


def test_a_function_takes_part_in_transactions_and_pickles(
    proxy: FaultProxy, authority: Authority, main: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN_OF_THE_TEST", authority.made())
    fs = pyxet.XetFS(proxy.url, token=of_the_module, retry=FAST)
    with fs.transaction as tr:
        fs.pipe(f"{main}/a.txt", b"a")
        # Another instance of the same account; one of a token that was given is another.
        pyxet.XetFS(proxy.url, token=of_the_module, listings_expiry_time=5, retry=FAST).pipe(f"{main}/b.txt", b"b")
    assert len(tr.commits) == 1
    assert pickle.loads(pickle.dumps(fs)) is fs


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
