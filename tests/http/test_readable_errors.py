"""What surrounds a message: hints that take a request, tracebacks, warnings about retries, and what an endpoint may put into one."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
from fsspec.callbacks import Callback
from support.faults import WHOAMI, FaultProxy, answer, world
from support.proxied import asynchronous

import pyxet
from pyxet._traces import readable
from pyxet.config import RetryPolicy
from pyxet.errors import (
    AuthenticationError,
    ConfigError,
    ConnectionFailedError,
    EntryNotFoundError,
    RevisionNotFoundError,
    ServerError,
    XetURLError,
    error_from_response,
)
from pyxet.secrets import Secret
from pyxet.testing import LocalEndpoint
from pyxet.urls import XetURL

REFS = r"GET /api/.*/refs"


@pytest.fixture(autouse=True)
def logged_out() -> Iterator[None]:
    yield
    pyxet.logout()
    logging.getLogger("pyxet").setLevel(logging.NOTSET)


# -- addresses of other things -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pasted", "meant"),
    [
        ("hf://acme/titanic/a.csv", "xet://acme/titanic/main/a.csv"),
        ("hf://datasets/acme/corpus@v1/data/a.csv", "xet://datasets/acme/corpus/v1/data/a.csv"),
        ("hf://spaces/acme/demo", "xet://spaces/acme/demo/main"),
        ("https://huggingface.co/acme/titanic", "xet://acme/titanic/main"),
        ("https://huggingface.co/acme/titanic/tree/main", "xet://acme/titanic/main"),
        ("https://huggingface.co/acme/titanic/tree/main/data", "xet://acme/titanic/main/data"),
        (
            "https://hf.co/datasets/acme/corpus/resolve/refs%2Fpr%2F1/a.csv",
            "xet://datasets/acme/corpus/refs%2Fpr%2F1/a.csv",
        ),
        ("https://www.huggingface.co/acme/titanic/raw/v1/a.csv?x=1#top", "xet://acme/titanic/v1/a.csv"),
        ("http://localhost:8787/acme/titanic/blob/main/a.csv", "xet://localhost:8787:acme/titanic/main/a.csv"),
        ("https://huggingface.co/acme/titanic/discussions/1", "xet://acme/titanic/main"),
        ("HTTPS://HuggingFace.co/acme/titanic", "xet://acme/titanic/main"),
        ("https://huggingface.co/", "xet://[endpoint:]owner/repo/branch/path"),
        ("https://huggingface.co/acme", "xet://[endpoint:]owner/repo/branch/path"),
        ("s3://bucket/key/more", "xet://[endpoint:]owner/repo/branch/path"),
        ("hf://buckets/acme/things/a", "xet://[endpoint:]owner/repo/branch/path"),
    ],
)
def test_an_address_of_something_else_is_told_as_xet(pasted: str, meant: str) -> None:
    with pytest.raises(XetURLError) as caught:
        XetURL.parse(pasted)
    assert str(caught.value).endswith(f"expected {meant}")
    if "[" not in meant:
        XetURL.parse(meant)


# -- hints -------------------------------------------------------------------------------------------------------------


def test_hints_are_looked_up_for_errors_that_people_get(through: tuple[FaultProxy, pyxet.XetFS], main: str) -> None:
    proxy, fs = through
    repo = main.rpartition("/")[0]
    with pytest.raises(RevisionNotFoundError, match=f"its branches are main; .* as {repo}/main/data"):
        fs.ls(f"{repo}/data")
    proxy.seen.clear()
    assert not fs.exists(f"{repo}/data/a.csv")
    assert not fs.isfile(f"{repo}/data/a.csv")
    assert not fs.isdir(f"{repo}/data")
    with pytest.raises(EntryNotFoundError):
        fs.info(f"{main}/nothing")
    assert proxy.count(REFS) == 0


def test_a_hint_that_cannot_be_had_is_left_out(through: tuple[FaultProxy, pyxet.XetFS], main: str) -> None:
    proxy, fs = through
    proxy.rule(REFS, answer(500))
    with pytest.raises(RevisionNotFoundError) as caught:
        fs.ls(f"{main.rpartition('/')[0]}/data")
    assert "branches" not in str(caught.value)


async def test_hints_for_coroutines(shared_endpoint: LocalEndpoint, main: str) -> None:
    async with asynchronous(shared_endpoint) as fs:
        path = f"{main.rpartition('/')[0]}/data"
        found = await asyncio.gather(*(fs._ls(path) for _ in range(3)), return_exceptions=True)
        assert all("its branches are main" in str(error) for error in found)
        assert all(isinstance(error, RevisionNotFoundError) for error in found)


def test_where_the_token_came_from(
    shared_endpoint: LocalEndpoint, main: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refused() -> str:
        with pytest.raises(AuthenticationError) as caught:
            pyxet.XetFS().ls(main)
        assert "secret" not in str(caught.value)
        assert shared_endpoint.url in str(caught.value)
        return str(caught.value)

    url = shared_endpoint.url
    monkeypatch.setenv("HF_ENDPOINT", url)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    (tmp_path / "token").write_text("hf_secret")
    assert f"the token in {tmp_path / 'token'}" in refused()
    pyxet.config.login("me", "secret", save=True)
    pyxet.logout()
    assert "the token that xet login saved in" in refused()
    pyxet.logout(saved=True)
    monkeypatch.setenv("HF_TOKEN", "hf_secret_too")
    assert "the token of HF_TOKEN" in refused()
    monkeypatch.setenv("XET_USER_TOKEN", "xet_secret")
    assert "the token of XET_USER_TOKEN" in refused()
    pyxet.login("me", "other_secret", check=False)
    assert "the token of pyxet.login" in refused()
    # A line break at the end of a variable is that of a file it was read from.
    pyxet.logout()
    monkeypatch.setenv("XET_USER_TOKEN", f"{shared_endpoint.token}\r\n")
    assert pyxet.XetFS().get_username() == shared_endpoint.user


# -- logging in --------------------------------------------------------------------------------------------------------


def test_a_login_is_tried(shared_endpoint: LocalEndpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XET_ENDPOINT", shared_endpoint.url)
    for user, token, error in (
        ("acme", "wrong", AuthenticationError),
        ("somebody", shared_endpoint.token, AuthenticationError),
        ("", shared_endpoint.token, ConfigError),
        ("acme", "", ConfigError),
        ("acme", "a\nb", ConfigError),
    ):
        with pytest.raises(error):
            pyxet.login(user, token)
        assert not pyxet.XetFS().credential.token
    with pytest.raises(ConnectionFailedError):
        pyxet.login("acme", "wrong", host="localhost:9")
    assert pyxet.XetFS().endpoint == shared_endpoint.url
    pyxet.login("acme", shared_endpoint.token)
    assert pyxet.XetFS().get_username() == "acme"
    pyxet.login("acme", "wrong", check=False)
    assert pyxet.XetFS().credential.token == Secret("wrong")


async def test_a_login_inside_a_running_loop(shared_endpoint: LocalEndpoint) -> None:
    pyxet.login("acme", shared_endpoint.token, host=shared_endpoint.url)
    assert pyxet.XetFS().credential.token == Secret(shared_endpoint.token)


# -- tracebacks --------------------------------------------------------------------------------------------------------


def frames(error: BaseException) -> list[str]:
    return [frame.name for frame in traceback.extract_tb(error.__traceback__)]


def test_frames_of_callbacks_stay(xet: pyxet.XetFS, main: str, tmp_path: Path) -> None:
    class Full(Callback):
        def relative_update(self, inc: int = 1) -> None:
            self.fails()

        def fails(self) -> None:
            raise OSError("the disk is full")

    xet.pipe_file(f"{main}/a", b"a" * 1000)
    with pytest.raises(OSError, match="the disk is full") as caught:
        xet.get_file(f"{main}/a", str(tmp_path / "a"), callback=Full())
    assert frames(caught.value)[-2:] == ["relative_update", "fails"]


def test_debugging_keeps_everything(xet: pyxet.XetFS, main: str) -> None:
    def depth() -> int:
        with pytest.raises(EntryNotFoundError) as caught:
            xet.info(f"{main}/nothing")
        return len(frames(caught.value))

    short = depth()
    logging.getLogger("pyxet").setLevel(logging.DEBUG)
    assert depth() > short + 3


def test_errors_of_ours_that_are_no_news_to_anybody_else_keep_their_place() -> None:
    # Something is wrong inside, and its place matters.
    with pytest.raises(AttributeError) as caught:
        XetURL.parse(None)  # type: ignore[arg-type]
    before = frames(caught.value)
    assert frames(readable(caught.value)) == before
    assert before[-1] == "_parsed"


def test_what_the_caller_was_handling_stays(xet: pyxet.XetFS, main: str) -> None:
    try:
        try:
            raise KeyError("not in our cache")
        except KeyError:
            xet.cat_file(f"{main}/nothing")
    except EntryNotFoundError as error:
        text = "".join(traceback.format_exception(error))
        assert "not in our cache" in text
        assert "During handling" in text


# -- retries -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("pause", "level"), [("0", logging.INFO), ("2.1", logging.WARNING)])
async def test_long_retries_are_warnings(
    pause: str, level: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def at_once(seconds: float) -> None:
        await real_sleep(0)

    real_sleep = asyncio.sleep
    async with world() as it:
        it.proxy.rule(WHOAMI, answer(503, b'{"error": "maintenance"}', Retry_After=pause), times=1)
        with caplog.at_level(logging.INFO, "pyxet.requests"):
            monkeypatch.setattr("pyxet._async.http.transport.asyncio.sleep", at_once)
            monkeypatch.setattr("pyxet._async.http.limiter.Limiter._pause", lambda self: real_sleep(0))
            await it.client.hub.whoami()
            monkeypatch.undo()
    [record] = [record for record in caplog.records if record.name == "pyxet.requests"]
    assert record.levelno == level
    assert "maintenance" in record.getMessage()
    assert f"trying again in {float(pause):.1f} s (2 of 4)" in record.getMessage()


async def test_many_short_retries_are_a_warning_in_the_end(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pyxet._async.http.retries._PATIENCE", 0.01)
    retry = RetryPolicy(attempts=4, base_delay=0.004, max_delay=0.02)
    async with world(retry=retry) as it:
        it.proxy.rule(WHOAMI, answer(500))
        with caplog.at_level(logging.INFO, "pyxet.requests"), pytest.raises(ServerError):
            await it.client.hub.whoami()
    assert [record.levelno for record in caplog.records][-1] == logging.WARNING


# -- what an endpoint says ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said", ["a\nb", "\x1b[2J\x1b]0;title\x07", "a" * 100_000, "\r\n\r\n", "a\u202eb", "tab\tand\0nul", "ä🎉"]
)
def test_what_an_endpoint_says_is_one_line(said: str) -> None:
    text = str(error_from_response(500, what="reading x", detail=said))
    assert text.isprintable()
    assert len(text) < 600
    assert text.startswith("reading x: ")
