"""JSON of strangers: typed structs or a `FormatError`, whatever comes."""

from __future__ import annotations

import inspect
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyxet.errors import FormatError
from pyxet.protocol import cas_messages, messages
from pyxet.protocol.cas_messages import ReconstructionV2, ShardEvent, WireRange, XorbInserted
from pyxet.protocol.messages import (
    CommitAnswer,
    CommitInfo,
    Preupload,
    PreuploadFile,
    RepoInfo,
    TreeEntry,
    WhoAmI,
    XetToken,
    decode,
    encode,
)
from pyxet.secrets import Secret

KINDS: list[Any] = [
    kind
    for kind in {**vars(messages), **vars(cas_messages)}.values()
    if inspect.isclass(kind) and issubclass(kind, (messages.HubStruct, messages.CasStruct)) and kind.__struct_fields__
]
KINDS += [list[TreeEntry], dict[str, WireRange], list[CommitInfo]]

GARBAGE = [
    b"",
    b" ",
    b"null",
    b"0",
    b'"text"',
    b"{",
    b'{"type"',
    b"\xff\xfe{}",
    b"\xef\xbb\xbf{}",
    b'{"x": "\\ud800"}x',
    b"<html>502 Bad Gateway</html>",
    b"{}{}",
    b"9" * 6000,
    b"1e99999",
    b"NaN",
    b"[" * 100_000,
    b'{"x":' + b"[" * 100_000,
    b'{"x":' * 50_000,
    b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_garbage(kind: Any) -> None:
    for data in GARBAGE:
        for make in (bytes, bytearray, memoryview):
            with pytest.raises(FormatError, match=r"^the answer: "):
                decode(make(data), kind, what="the answer")


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        (XorbInserted, '{"was_inserted": 1}', "was_inserted"),
        (XetToken, '{"accessToken": "t", "casUrl": "u"}', "exp"),
        (XetToken, '{"accessToken": "t", "casUrl": "u", "exp": -1}', "exp"),
        (XetToken, '{"accessToken": "t", "casUrl": "u", "exp": "soon"}', "exp"),
        (WireRange, '{"start": -1, "end": 2}', "start"),
        (WireRange, '{"start": 0, "end": 9223372036854775808}', "end"),
        (WireRange, '{"start": 0, "end": 1e3000}', "out of range"),
        (WireRange, '{"start": true, "end": 2}', "start"),
        (list[TreeEntry], '[{"type": "link", "path": "a", "oid": "b"}]', "type"),
        (list[TreeEntry], '[{"type": "file", "path": "a", "oid": "b", "size": -5}]', "size"),
        (list[TreeEntry], '[{"type": "file", "path": "a", "oid": "b", "lfs": {"oid": "c", "size": -5}}]', "size"),
        (WhoAmI, '{"name": "\udcff"}', "UTF-8|utf-8"),
        (WhoAmI, '{"name": "\\ud800 and more"}', "w: "),
        (ReconstructionV2, '{"offset_into_first_range": -1, "terms": [], "xorbs": {}}', "offset_into_first_range"),
        (ReconstructionV2, '{"offset_into_first_range": 0, "terms": {}, "xorbs": {}}', "terms"),
        (ReconstructionV2, '{"offset_into_first_range": 0, "terms": [], "xorbs": {"a": [{"url": "u"}]}}', "ranges"),
    ],
)
def test_the_wrong_field_is_named(kind: Any, text: str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        decode(text.encode(errors="surrogateescape"), kind, what="w")


def test_names_on_the_wire() -> None:
    """camelCase for the Hub, snake_case for the CAS; absent and unknown fields are no error."""
    answer = decode(b'{"commitOid": "a", "commitUrl": "u", "new": [1]}', CommitAnswer, what="w")
    assert (answer.commit_oid, answer.pull_request_url) == ("a", None)
    assert decode(b'{"name": "me", "orgs": [{"name": "acme", "x": 1}]}', WhoAmI, what="w").orgs[0].name == "acme"
    sibling = b'{"rfilename": "f", "lfs": {"sha256": "s", "size": 5, "pointerSize": 9}}'
    info = decode(b'{"id": "a/b", "gated": "auto", "siblings": [' + sibling + b"]}", RepoInfo, what="w")
    assert info.siblings is not None
    assert info.siblings[0].lfs is not None
    assert info.siblings[0].lfs.pointer_size == 9
    assert json.loads(encode(Preupload(files=[PreuploadFile(path="p", size=3)]))) == {
        "files": [{"path": "p", "size": 3}]
    }
    assert json.loads(encode(ShardEvent(type="result"))) == {"type": "result"}
    assert json.loads(encode(XetToken(access_token=Secret("t"), exp=5, cas_url="u"))) == {
        "accessToken": "t", "exp": 5, "casUrl": "u",
    }  # fmt: skip


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(KINDS), st.data())
@settings(max_examples=200, deadline=None)
def test_any_document_is_a_message_or_a_typed_error(kind: Any, draw: st.DataObject) -> None:
    fields = [field.encode_name for field in msgspec.structs.fields(kind)] if hasattr(kind, "__struct_fields__") else []
    document = draw.draw(st.fixed_dictionaries({}, optional=dict.fromkeys(fields, JSON)) | JSON)
    data = bytearray(json.dumps(document).encode())
    if draw.draw(st.booleans()):
        data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    try:
        message = decode(data, kind, what="w")
    except FormatError:
        return
    assert decode(encode(message), kind, what="w") == message
