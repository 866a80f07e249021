"""Tokens, signed URLs and passwords of proxies show nowhere: not in a repr, a message, a log, a traceback or a pickle."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import logging
import pickle
import pkgutil
import re
import traceback
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from support.accounts import token_of
from support.faults import PLAN, TOKEN, XORB, FaultProxy, answer
from yarl import URL

import pyxet
from pyxet._async.http.sessions import Proxy
from pyxet.protocol.messages import XetToken, decode, encode
from pyxet.protocol.reconstruction import FetchRange
from pyxet.secrets import Secret

# Fields of these names hold what must not be seen, wherever they stand.
SECRET = re.compile(r"(.*_)?(token|password|authorization|secret)\Z")


def values() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every dataclass, struct and named tuple of the package, with its fields and their annotations."""
    for module in pkgutil.walk_packages(pyxet.__path__, "pyxet."):
        if module.name in ("pyxet.dask", "pyxet.polars", "pyxet.ray", "pyxet.__main__"):
            continue
        for name, kind in vars(importlib.import_module(module.name)).items():
            if not inspect.isclass(kind) or kind.__module__ != module.name:
                continue
            if dataclasses.is_dataclass(kind):
                yield f"{module.name}.{name}", {field.name: field.type for field in dataclasses.fields(kind)}
            elif issubclass(kind, msgspec.Struct) or (issubclass(kind, tuple) and hasattr(kind, "_fields")):
                yield f"{module.name}.{name}", dict(kind.__annotations__)


def test_all_that_is_secret_has_the_type() -> None:
    seen = set()
    for place, fields in values():
        for name, kind in fields.items():
            signed = name == "url" and (".Wire" in place or place.endswith("FetchRange"))
            if kind == "TokenInfo | None":
                # What a token may do, under a token's name.
                continue
            if SECRET.match(name) or signed:
                assert "Secret" in str(kind), f"{place}.{name} is a {kind}"
                seen.add(place.rpartition(".")[2])
    assert seen >= {"Credential", "Proxy", "XetToken", "FetchRange", "WireFetchV1", "WireFetchV2"}


def test_a_secret_is_masked_everywhere() -> None:
    secret = Secret("hunter2")
    assert secret.reveal() == "hunter2"
    for text in (repr(secret), str(secret), f"{secret}", repr([secret]), repr({"a": secret})):
        assert "hunter2" not in text
    assert b"hunter2" not in pickle.dumps(secret)
    assert (secret, bool(secret), hash(secret)) == (Secret("hunter2"), True, hash(Secret("hunter2")))
    assert not Secret("")


@pytest.mark.parametrize(
    "value",
    [
        FetchRange(Secret("http://x/?sig=hunter2"), 0, 1, 0, 10),
        Proxy(URL("http://proxy"), Secret("Basic hunter2")),
        decode(b'{"accessToken":"hunter2","exp":1,"casUrl":"u"}', XetToken, what="a token"),
    ],
)
def test_values_that_hold_one(value: object) -> None:
    assert "hunter2" not in f"{value} {value!r}"


def test_messages_carry_what_they_hide() -> None:
    data = encode(XetToken(access_token=Secret("hunter2"), exp=1, cas_url="u"))
    assert decode(data, XetToken, what="a token").access_token.reveal() == "hunter2"
    with pytest.raises(pyxet.FormatError):
        decode(b'{"accessToken":5,"exp":1,"casUrl":"u"}', XetToken, what="a token")


@pytest.mark.parametrize("pattern", [TOKEN, PLAN, XORB, "POST /api/.*/paths-info"])
@pytest.mark.parametrize("status", [400, 401, 403, 429, 500])
def test_errors_of_real_requests(
    through: tuple[FaultProxy, pyxet.XetFS], tree: str, pattern: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    proxy, fs = through
    caplog.set_level(logging.DEBUG)
    assert fs.credential.token is not None
    token = token_of(fs)
    proxy.rule(pattern, answer(status, b"no"))
    with pytest.raises((pyxet.XetError, OSError)) as raised:
        fs.cat_file(f"{tree}/data/deep/er/c.bin")
    texts = [*traceback.format_exception(raised.value), repr(raised.value), repr(vars(raised.value)), caplog.text]
    texts += [pickle.dumps(raised.value).decode("latin-1"), f"{fs!r} {fs} {fs.credential} {fs.transaction}"]
    for text in texts:
        assert token not in text
        assert "signature=" not in text


def test_a_secret_is_a_token(xet: pyxet.XetFS, main: str) -> None:
    """What a file system knows is good for another one, and instances are told apart by what it is."""
    again = pyxet.XetFS(xet.endpoint, xet.credential.user, xet.credential.token)
    assert again.exists(main)
    assert again is not pyxet.XetFS(xet.endpoint, xet.credential.user, Secret("another"))
    assert again is pyxet.XetFS(xet.endpoint, xet.credential.user, Secret(again.credential.token or ""))
