"""Hub routes of trees: listings in pages, and information about given paths."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aiohttp import web

from pyxet.protocol.dates import format_date
from pyxet.protocol.messages import LastCommit, LfsInfo, PathsInfo, TreeEntry, encode
from pyxet.server.bodies import read_form, read_message
from pyxet.server.content import ContentStore
from pyxet.server.git_objects import FILE, Entry, message_of
from pyxet.server.git_repository import Repository
from pyxet.server.hosts import next_page
from pyxet.server.hub_repos import KIND, PATH, REPO, REV
from pyxet.server.state import CONTENT, SUSPENDED, in_worker, json_response, note_shown, open_repo

_PAGE, _PAGE_EXPANDED = 1000, 100


def add_routes(app: web.Application) -> None:
    """Add the routes."""
    base = f"/api/{KIND}/{REPO}"
    app.router.add_get(f"{base}/tree/{REV}", tree)
    app.router.add_get(f"{base}/tree/{REV}/{PATH}", tree)
    app.router.add_post(f"{base}/paths-info/{REV}", paths_info)


async def tree(request: web.Request) -> web.Response:
    """``GET …/tree/{rev}[/{path}]``: a page of a folder, or of all below it; the next page begins after its last path."""
    repo = await open_repo(request)
    content = request.app[CONTENT]
    path = request.match_info.get("path", "").strip("/")
    recursive, expand = request.query.get("recursive") == "true", request.query.get("expand") == "true"
    after = request.query.get("cursor")
    page = _PAGE_EXPANDED if expand else _PAGE
    # Later pages stay on the commit of the first page, even if the branch has moved meanwhile.
    revision = request.query.get("at") or request.match_info["rev"]

    def collect() -> tuple[str, bytes, str | None]:
        # Resolve first: suspended listings are found by their commit, and another repository may have this name by now.
        commit = repo.resolve(revision)
        listing = ("tree", str(repo.path), str(commit.id), path, recursive)
        found, more = request.app[SUSPENDED].page(
            lambda: repo.entries(commit, path, recursive=recursive, after=after),
            page,
            (*listing, after),
            lambda entry: (*listing, entry.path),
        )
        last = found[-1].path if more else None
        note_shown(request, repo, (entry.lfs.sha256 for entry in found if entry.lfs))
        return str(commit.id), encode(list(_messages(repo, content, commit, found, expand))), last

    commit, body, last = await in_worker(request, collect)
    headers = {"X-Repo-Commit": commit}
    if last is not None:
        headers["Link"] = next_page(request, cursor=last, at=commit)
    return json_response(body, headers=headers)


async def paths_info(request: web.Request) -> web.Response:
    """``POST …/paths-info/{rev}``, form or JSON; unknown paths are left out."""
    repo = await open_repo(request)
    content = request.app[CONTENT]
    if request.content_type == "application/json":
        wanted = await read_message(request, PathsInfo, what="paths-info")
    else:
        form = await read_form(request)
        wanted = PathsInfo(paths=[value for name, value in form if name == "paths"], expand=("expand", "true") in form)

    def collect() -> tuple[str, bytes]:
        commit = repo.resolve(request.match_info["rev"])
        found = (repo.entry(commit, path.strip("/")) for path in wanted.paths)
        entries = [entry for entry in found if entry and entry.path]
        note_shown(request, repo, (entry.lfs.sha256 for entry in entries if entry.lfs))
        return str(commit.id), encode(list(_messages(repo, content, commit, entries, wanted.expand)))

    commit, body = await in_worker(request, collect)
    return json_response(body, headers={"X-Repo-Commit": commit})


def _messages(
    repo: Repository, content: ContentStore, commit: Any, entries: list[Entry], expand: bool
) -> Iterator[TreeEntry]:
    last = repo.last_commits(commit, entries) if expand else {}
    contents = content.find_all_by_sha256(entry.lfs.sha256 for entry in entries if entry.lfs)
    for entry in entries:
        kind = "directory" if entry.is_folder else "file" if entry.is_file else "submodule"
        message = TreeEntry(
            type=kind,  # type: ignore[arg-type]  # one of its three values, see above
            path=entry.path,
            oid=entry.oid,
            size=entry.size,
        )
        if entry.is_file and entry.mode != FILE:
            message.mode = f"{entry.mode:o}"
        if entry.lfs:
            message.lfs = LfsInfo(oid=entry.lfs.sha256, size=entry.lfs.size, pointer_size=entry.blob_size)
            stored = contents.get(entry.lfs.sha256)
            message.xet_hash = stored.xet_hash if stored else None
        if entry.path in last:
            message.last_commit = _last(last[entry.path])
        yield message


def _last(commit: Any) -> LastCommit:
    title: str = message_of(commit).partition("\n")[0]
    return LastCommit(id=str(commit.id), title=title, date=format_date(commit.commit_time))
