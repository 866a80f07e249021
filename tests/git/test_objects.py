"""What the transfer agent moves is told to those who watch transfers, as anything else that is moved."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import Any

import pytest
from support.raw_client import RawClient

import pyxet
from pyxet.config import Credential
from pyxet.errors import IntegrityError
from pyxet.git.messages import Replies
from pyxet.git.objects import Objects
from pyxet.testing import LocalEndpoint


async def no_login(endpoint: str) -> Credential:
    raise AssertionError("the tokens that git-lfs handed on are good")


async def test_transfers_are_told(
    shared_endpoint: LocalEndpoint, repo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pyxet.git.objects._scratch", lambda: tmp_path)
    data = os.urandom(300_000)
    oid = hashlib.sha256(data).hexdigest()
    client = RawClient(shared_endpoint, shared_endpoint.token)

    def asked(operation: str, transfer: str) -> dict[str, Any]:
        body = {"operation": operation, "transfers": [transfer], "objects": [{"oid": oid, "size": len(data)}]}
        [found] = client.post(f"/{repo}.git/info/lfs/objects/batch", body).json["objects"]
        return {"oid": oid, "size": len(data), "action": found["actions"][operation]}

    transfers: list[pyxet.TransferEvent] = []
    objects = Objects(Replies(io.BytesIO()), 1, no_login)
    try:
        with pyxet.on_transfer(transfers.append):
            (tmp_path / "source").write_bytes(data)
            upload = asked("upload", "xet")
            await objects.upload(upload | {"path": str(tmp_path / "source")})
            found = Path(await objects.download(asked("download", "xet-download")))
            (tmp_path / "damaged").write_bytes(data[1:])
            with pytest.raises(IntegrityError):
                await objects.upload(upload | {"path": str(tmp_path / "damaged")})
    finally:
        await objects.aclose()
    assert found.read_bytes() == data
    told = [(event.direction, event.path, event.bytes, event.status) for event in transfers]
    name = f"{repo}/main/object {oid}"
    assert told == [
        ("upload", name, len(data), "done"),
        ("download", name, len(data), "done"),
        ("upload", name, len(data) - 1, "done"),
    ]
