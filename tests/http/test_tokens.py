"""Tokens that change: where they are looked for again, and functions that are asked for them."""

from __future__ import annotations

import asyncio
import os
import pickle
import sys
from pathlib import Path

import pytest
from support.authority import Authority
from support.children import elsewhere
from support.faults import FAST, WHOAMI, FaultProxy

import pyxet
from pyxet.config import TokenFunction
from pyxet.errors import AuthenticationError, ConfigError
from pyxet.secrets import Secret

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
