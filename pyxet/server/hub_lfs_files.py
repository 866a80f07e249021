"""Hub routes of large files: list those in all of a repository's history, and remove some of them from that history."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from pyxet.errors import BadRequestError
from pyxet.protocol.dates import format_date
from pyxet.protocol.messages import DeleteLfsFiles, LfsFileEntry, encode
from pyxet.server.bodies import read_message
from pyxet.server.git_large_files import LargeFile, large_files, remove_large_files
from pyxet.server.hosts import next_page
from pyxet.server.hub_repos import KIND, REPO
from pyxet.server.state import CONTENT, SUSPENDED, in_worker, json_response, open_repo, query_number

# Each page needs a search of the whole history, so pages are large.
_PAGE: Final = 5000


def add_routes(app: web.Application) -> None:
    """Add the routes."""
    base = f"/api/{KIND}/{REPO}/lfs-files"
    app.router.add_get(base, list_lfs_files)
    app.router.add_post(f"{base}/batch", delete_lfs_files)


async def list_lfs_files(request: web.Request) -> web.Response:
    """``GET …/lfs-files``: each content once, the newest first, in pages."""
    repo = await open_repo(request)
    start = query_number(request, "cursor", 0)

    def collect() -> tuple[list[LargeFile], bool]:
        # The result of searching the whole history stays the same as long as no reference moves.
        listing = ("lfs-files", str(repo.path), tuple(repo.references("refs/").items()))
        return request.app[SUSPENDED].page(
            lambda: iter(large_files(repo)[start:]), _PAGE, (*listing, start), lambda _: (*listing, start + _PAGE)
        )

    found, more = await in_worker(request, collect)
    page = [
        LfsFileEntry(
            file_oid=file.sha256, filename=file.path, oid=file.sha256, pushed_at=format_date(file.pushed), size=file.size,
            ref=file.ref,
        )
        for file in found
    ]  # fmt: skip
    headers = {"Link": next_page(request, cursor=start + _PAGE)} if more else None
    return json_response(await in_worker(request, encode, page), headers=headers)


async def delete_lfs_files(request: web.Request) -> web.Response:
    """``POST …/lfs-files/batch``: rewrite the history so that no commit names these contents, and stop holding them.

    Other repositories that hold the same content keep it.
    """
    repo = await open_repo(request, admin=True)
    wanted = (await read_message(request, DeleteLfsFiles, what="delete large files")).deletions
    if not wanted.rewrite_history:
        raise BadRequestError("this endpoint deletes large files from the history as well: rewriteHistory", status=400)
    contents = set(wanted.sha)
    index = request.app[CONTENT].index

    def delete() -> None:
        remove_large_files(repo, contents)
        index.release(contents, repo.id.path)

    await in_worker(request, delete)
    return json_response(b"{}")
