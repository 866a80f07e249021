"""The JSON of the Git-LFS batch API, as endpoints answer it and clients send it."""

from __future__ import annotations

from typing import Literal

import msgspec

from pyxet.protocol.messages import Count
from pyxet.secrets import Secret

MEDIA_TYPE = "application/vnd.git-lfs+json"


class LfsStruct(msgspec.Struct, omit_defaults=True, kw_only=True):
    """Base of the messages of Git LFS."""


class LfsObject(LfsStruct):
    """An object of a request: its SHA-256 in hex and its size in bytes."""

    oid: str
    size: Count


class LfsRef(LfsStruct):
    name: str = ""


class LfsBatch(LfsStruct):
    """A batch request. Without ``transfers`` it is for ``basic``."""

    operation: Literal["download", "upload"]
    objects: list[LfsObject]
    transfers: list[str] = []
    ref: LfsRef | None = None
    hash_algo: str = "sha256"


class LfsAction(LfsStruct):
    """How an object is uploaded or downloaded: URL, headers of the request, and seconds until both expire."""

    href: Secret
    header: dict[str, Secret] = {}
    expires_in: int | None = None


class LfsActions(LfsStruct):
    upload: LfsAction | None = None
    verify: LfsAction | None = None
    download: LfsAction | None = None


class LfsFailure(LfsStruct):
    """Why there is no action for an object; ``code`` is an HTTP status."""

    code: int
    message: str


class LfsAnswer(LfsStruct):
    """An object of an answer. If it is to be uploaded and has no actions, it is stored already."""

    oid: str
    size: Count
    authenticated: bool = False
    actions: LfsActions | None = None
    error: LfsFailure | None = None


class LfsBatchAnswer(LfsStruct, omit_defaults=False):
    transfer: str
    objects: list[LfsAnswer]
    hash_algo: str = "sha256"
