"""Xorbs in the bodies of requests: into a file while they arrive, then checked and kept."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from pyxet.protocol.constants import MAX_XORB_BYTES_READ, MIB
from pyxet.protocol.hashing import hash_from_hex, hash_to_hex
from pyxet.protocol.xorb import XorbInfo
from pyxet.server.bodies import receive
from pyxet.server.content import ContentStore
from pyxet.server.ingest import XorbUpload
from pyxet.server.rights import Rights
from pyxet.server.state import CONTENT, in_checker, in_worker

# Bytes of the largest body that may be a xorb: one with a footer.
MAX_XORB_BODY: Final = MAX_XORB_BYTES_READ + MIB


async def receive_xorb(request: web.Request, *, checksum: bool = False) -> XorbUpload:
    """The body of a request as an upload that has arrived, to be closed by the caller in a worker.

    Parameters
    ----------
    checksum:
        Whether its CRC-64/NVME is wanted.

    Raises
    ------
    BadRequestError, ConnectionError
        As in `pieces`.
    """
    upload = await in_worker(request, lambda: XorbUpload(request.app[CONTENT].xorbs, checksum=checksum))
    try:
        await receive(request, upload.write, MAX_XORB_BODY)
    except BaseException:
        await in_worker(request, upload.close)
        raise
    return upload


async def keep(request: web.Request, rights: Rights, upload: XorbUpload, name: str) -> bool:
    """Check and store the xorb that has arrived; returns whether it is new, as far as the user may know.

    Raises
    ------
    BadRequestError, FormatError
        The xorb is damaged, or its hash is not ``name``.
    """
    info = await in_checker(request, upload.check, name)
    # The rest waits for the disk, so it runs outside the checkers, which can check other xorbs meanwhile.
    return await in_worker(request, _keep, request.app[CONTENT], rights, upload, info)


def _keep(content: ContentStore, rights: Rights, upload: XorbUpload, info: XorbInfo) -> bool:
    known = is_known(content, rights, hash_to_hex(info.hash))
    content.keep_xorb(upload, info, rights.user)
    return not known


def is_known(content: ContentStore, rights: Rights, name: str) -> bool:
    """Whether a xorb is stored, as far as the user may know. Blocks."""
    value = hash_from_hex(name)
    return content.index.xorb_size(value) is not None and rights.may_use(value)
