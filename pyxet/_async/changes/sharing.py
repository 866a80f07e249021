"""Makes a repository hold content of other repositories that its commit refers to, if possible without moving it.

The endpoint is asked to hold the content for this repository too. Content that it does not share (it has no such route,
or the other repository is in another region) is downloaded and uploaded. The uploader's chunk queries then find most
chunks stored already, so that little is uploaded.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import aclosing

from pyxet._async.client import Client
from pyxet._async.runtime.tasks import run_all
from pyxet._async.upload.session import Uploader
from pyxet.errors import RemoteError
from pyxet.protocol.messages import DuplicateFile
from pyxet.types import RemoteFile, RepoId, UploadedContent

# Status codes after which we try to read and upload instead: no such route, or a refusal that may not concern reading.
_REFUSALS = frozenset({400, 403, 404, 405, 409, 413, 422, 501})


async def share(
    client: Client, uploader: Uploader, repo: RepoId, files: Iterable[tuple[str, RemoteFile]]
) -> Mapping[str, UploadedContent]:
    """Make a repository hold the content of files of other repositories, which all must have a sha256 and a Xet hash.

    Parameters
    ----------
    files:
        Pairs of the path of the copy and the file. The path is what those who watch uploads are told.

    Returns
    -------
    Mapping
        The contents that had to be uploaded, by sha256.
    """
    sources: defaultdict[RepoId, dict[str, RemoteFile]] = defaultdict(dict)
    names: dict[str, str] = {}
    for name, file in files:
        sources[file.repo][file.sha256 or ""] = file
        names.setdefault(file.sha256 or "", name)
    left: dict[str, RemoteFile] = {}
    for source, contents in sources.items():
        left |= {sha256: contents[sha256] for sha256 in await _refused(client, source, repo, contents)}
    uploaded: dict[str, UploadedContent] = {}

    async def move(item: tuple[str, RemoteFile]) -> None:
        sha256, file = item
        uploaded[sha256] = await _move(client, uploader, file, names[sha256])

    await run_all(move, left.items(), limit=client.limits.concurrency)
    return uploaded


async def _refused(
    client: Client, source: RepoId, repo: RepoId, contents: Mapping[str, RemoteFile]
) -> Iterable[str]:  # fmt: skip
    """The sha256 of each content that the endpoint does not share."""
    wanted = [
        DuplicateFile(xet_hash=file.xet_hash or "", sha256=sha256, filename=file.path)
        for sha256, file in contents.items()
    ]
    try:
        failed = await client.hub.duplicate_files(source, repo, wanted)
    except RemoteError as error:
        if error.status not in _REFUSALS:
            raise
        return contents
    return failed.keys() & contents.keys()


async def _move(client: Client, uploader: Uploader, file: RemoteFile, name: str) -> UploadedContent:
    writer = uploader.writer(name=name)
    try:
        async with aclosing(client.reader.stream(file)) as pieces:
            async for piece in pieces:
                await writer.write(piece)
        return await writer.close()
    except BaseException:
        await writer.discard()
        raise
