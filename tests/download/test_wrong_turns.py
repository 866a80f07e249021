"""Plans, signed URLs, tokens and addresses that prove wrong: asked for once more, and never used again."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.contents import content
from support.faults import (
    DIRECT,
    GRANT,
    PLAN,
    SHARD,
    STORE,
    TOKEN,
    UPLOAD,
    XORB,
    Act,
    FaultProxy,
    answer,
    changed,
    flipped,
)

import pyxet
from pyxet import IntegrityError, XetError
from pyxet.secrets import Secret

# Of its own: what other tests store as well would be in several xorbs.
CONTENT = content(987_031, 300_000)
OTHER = content(987_032, 300_000)


def in_pieces(file: Any) -> bytes:
    with file:
        return b"".join(iter(lambda: file.read(70_000), b""))


Read = Callable[[pyxet.XetFS, str], bytes]
READS: dict[str, Read] = {
    "whole": lambda fs, path: fs.cat_file(path),
    "part": lambda fs, path: fs.cat_file(path, 10, 200_000),
    "open": lambda fs, path: in_pieces(fs.open(path)),
    "ranges": lambda fs, path: fs.cat_ranges([path], 5, 100, on_error="raise")[0],
}
SPANS = {"whole": slice(None), "part": slice(10, 200_000), "open": slice(None), "ranges": slice(5, 100)}


@pytest.fixture
def stored(xet: pyxet.XetFS, main: str) -> str:
    """A file in Xet, in xorbs of its own."""
    xet.pipe_file(f"{main}/x.bin", CONTENT)
    return f"{main}/x.bin"


@pytest.fixture
def nowhere() -> Iterator[str]:
    """An address where nobody answers."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def with_json(change: Callable[[Any], object]) -> Act:
    def changing(body: bytes) -> bytes:
        message = json.loads(body)
        change(message)
        return json.dumps(message).encode()

    return changed(changing)


def each_url(message: Any, change: Callable[[str], str]) -> None:
    for entries in message["xorbs"].values():
        for entry in entries:
            entry["url"] = change(entry["url"])


def shorter(message: Any) -> None:
    message["terms"] = message["terms"][:-1]


def another_order(message: Any) -> None:
    message["terms"].reverse()


def more_in_front(message: Any) -> None:
    message["offset_into_first_range"] += 1


# Of a plan that is wrong once: what is wrong with it.
PLANS: dict[str, Act] = {
    "no JSON": changed(lambda body: b"<html>"),
    "empty": changed(lambda body: b""),
    "nothing in it": with_json(lambda message: message.update(terms=[], xorbs={})),
    "shorter": with_json(shorter),
    "an impossible offset": with_json(lambda message: message.update(offset_into_first_range=10**9)),
    "another path": with_json(lambda message: each_url(message, lambda url: url.replace("/v1/xorbs/", "/v1/none/"))),
    "another signature": with_json(lambda message: each_url(message, lambda url: url + "0")),
    "another length": with_json(lambda message: message["terms"][0].update(unpacked_length=7)),
    "refused": answer(403),
    "refused token": answer(401),
}
# Of the body of a xorb that is wrong once.
BODIES: dict[str, Act] = {
    **{str(status): answer(status) for status in (400, 401, 403, 404, 410, 416, 422)},
    "damaged header": flipped(0.0),
    "other content": changed(lambda body: body[:1] + bytes(len(body) - 1)),
    "no content": changed(lambda body: b""),
}


# Which request it is, and its faults.
FAULTS = {"plan": (PLAN, PLANS), "xorb": (XORB, BODIES)}


@pytest.mark.parametrize("what", FAULTS)
@pytest.mark.parametrize("read", READS)
def test_what_is_wrong_once_is_asked_for_once_more(
    through: tuple[FaultProxy, pyxet.XetFS], stored: str, read: str, what: str
) -> None:
    proxy, fs = through
    pattern, acts = FAULTS[what]
    for name, act in acts.items():
        fresh(fs)
        proxy.clear()
        proxy.rule(pattern, act, times=1)
        assert READS[read](fs, stored) == CONTENT[SPANS[read]], name


@pytest.mark.parametrize("read", READS)
def test_what_stays_wrong_is_an_error_and_is_not_kept(
    through: tuple[FaultProxy, pyxet.XetFS], stored: str, read: str
) -> None:
    proxy, fs = through
    for pattern, acts in FAULTS.values():
        for name, act in acts.items():
            fresh(fs)
            proxy.clear()
            proxy.rule(pattern, act)
            with pytest.raises(XetError):
                READS[read](fs, stored)
            asked = proxy.count(pattern)
            # A body that breaks off is gone on from first, as often as any request is tried.
            assert 2 <= asked <= (4 if read == "open" or name == "no content" else 3), name
            proxy._rules.clear()
            assert READS[read](fs, stored) == CONTENT[SPANS[read]], name


def test_a_plan_of_other_content(through: tuple[FaultProxy, pyxet.XetFS], stored: str, main: str) -> None:
    proxy, fs = through
    fs.pipe_file(f"{main}/y.bin", OTHER)
    value = fs.info(f"{main}/y.bin")["xet_hash"]

    async def another(proxy: FaultProxy, request: Any) -> Any:
        request = request.clone(rel_url=request.rel_url.with_path(f"/v2/reconstructions/{value}"))
        return await proxy.forward(request)

    proxy.rule(PLAN, another, times=1)
    assert fs.cat_file(stored) == CONTENT
    assert proxy.count(PLAN) == 2
    fresh(fs)
    proxy.clear()
    proxy.rule(PLAN, another)
    with pytest.raises(IntegrityError):
        fs.cat_file(stored)
    proxy._rules.clear()
    assert fs.cat_file(stored) == CONTENT


# -- tokens and addresses ----------------------------------------------------------------------------------------------


def wrong_tokens(nowhere: str, elsewhere: str) -> dict[str, Act]:
    return {
        "nobody there": with_json(lambda message: message.update(casUrl=nowhere)),
        "another server": with_json(lambda message: message.update(casUrl=f"{elsewhere}/other")),
        "another token": with_json(lambda message: message.update(accessToken="nonsense")),
    }


@pytest.mark.parametrize("kind", ["nobody there", "another server", "another token"])
def test_a_token_that_is_wrong_is_asked_for_once_more(
    through: tuple[FaultProxy, pyxet.XetFS], stored: str, main: str, tmp_path: Path, nowhere: str, kind: str
) -> None:
    proxy, fs = through
    act = wrong_tokens(nowhere, proxy.url)[kind]
    calls: dict[str, Callable[[], object]] = {
        **{name: (lambda read=read: read(fs, stored)) for name, read in READS.items()},  # type: ignore[misc]
        "get": lambda: fs.get_file(stored, tmp_path / "x"),
        "write": lambda: fs.pipe_file(f"{main}/new.bin", OTHER),
        "copy": lambda: fs.cp_file(stored, f"{main}/copy.bin"),
    }
    for name, call in calls.items():
        fresh(fs)
        proxy.clear()
        proxy.rule(TOKEN, act, times=1)
        call()
        assert proxy.count(TOKEN) <= 4, name
        # Stays wrong: an error, which is not kept.
        if name != "copy":
            fresh(fs)
            proxy.clear()
            proxy.rule(TOKEN, act)
            if name == "write":
                fs.rm(f"{main}/new.bin")
            with pytest.raises(XetError):
                call()
            proxy._rules.clear()
            call()
    assert fs.cat_file(f"{main}/new.bin") == OTHER


def test_a_token_that_is_wrong_later(
    through: tuple[FaultProxy, pyxet.XetFS], stored: str, main: str, nowhere: str
) -> None:
    """The content store moves, or changes its keys, while tokens are good for long."""
    proxy, fs = through
    assert fs.cat_file(stored) == CONTENT
    fs.pipe_file(f"{main}/y.bin", OTHER)
    for wrong in ({"cas_url": nowhere}, {"cas_url": f"{proxy.url}/other"}, {"access_token": Secret("nonsense")}):
        for cas in list(fs._client()._cas.values()):
            for scope, (token, renewal) in cas._tokens.items():
                fields = {name: getattr(token, name) for name in token.__struct_fields__}
                cas._tokens[scope] = type(token)(**{**fields, **wrong}), renewal
            cas._plans.clear()
        assert fs.cat_file(stored, 3, 100_000) == CONTENT[3:100_000]
        fs.pipe_file(f"{main}/z.bin", content(hash(str(wrong)) % 1000, 200_000))


def test_a_store_that_is_gone_is_one_error(through: tuple[FaultProxy, pyxet.XetFS], stored: str, nowhere: str) -> None:
    proxy, fs = through
    proxy.rule(TOKEN, with_json(lambda message: message.update(casUrl=nowhere)))
    with pytest.raises(pyxet.ConnectionFailedError):
        fs.cat_file(stored)
    # As the second one names the same address, nobody knocks there again.
    assert proxy.count(TOKEN) == 2


def test_signed_urls_of_a_host_that_is_gone(through: tuple[FaultProxy, pyxet.XetFS], stored: str, nowhere: str) -> None:
    proxy, fs = through
    gone = with_json(lambda message: each_url(message, lambda url: url.replace(url.partition("/v1/")[0], nowhere)))
    proxy.rule(PLAN, gone, times=1)
    assert fs.cat_file(stored) == CONTENT
    fresh(fs)
    proxy.clear()
    proxy.rule(PLAN, gone)
    with pytest.raises(pyxet.ConnectionFailedError):
        fs.cat_file(stored)
    assert proxy.count(PLAN) == 2
    proxy._rules.clear()
    assert fs.cat_file(stored) == CONTENT


def test_uploads_to_a_store_that_says_no(through: tuple[FaultProxy, pyxet.XetFS], main: str) -> None:
    proxy, fs = through
    said = [
        (GRANT, 401),
        (GRANT, 403),
        (UPLOAD, 403),
        (UPLOAD, 404),
        (STORE, 403),
        (STORE, 404),
        (SHARD, 401),
        (SHARD, 403),
    ]
    for number, (pattern, status) in enumerate(said):
        fresh(fs)
        proxy.clear()
        proxy.rule(pattern, answer(status), times=1)
        fs.pipe_file(f"{main}/{number}.bin", content(number, 200_000))
    fresh(fs)
    proxy.clear()
    proxy.rule(f"{GRANT}|{DIRECT}", answer(404))
    with pytest.raises(XetError, match="neither by upload grants nor directly"):
        fs.pipe_file(f"{main}/last.bin", content(100, 200_000))
    # The address is right, so that is the answer.
    assert (proxy.count(GRANT), proxy.count(DIRECT), proxy.count(TOKEN)) == (1, 1, 2)


def fresh(fs: pyxet.XetFS) -> None:
    """Forget plans and tokens, as if they were too old."""
    for cas in fs._client()._cas.values():
        cas._plans.clear()
        cas._tokens.clear()
