"""Hub routes of trees: listings in pages, and what is known of given paths."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from aiohttp import web

from pyxet.protocol.messages import LastCommit, LfsInfo, PathsInfo, TreeEntry, decode, encode
from pyxet.server.content import ContentStore
from pyxet.server.git_store import Entry, Repository
from pyxet.server.hub_repos import KIND, REPO, timestamp
from pyxet.server.state import CONTENT, in_worker, json_response, open_repo

_PAGE, _PAGE_EXPANDED = 1000, 100
# Looking for the last commit of a path goes back this far; beyond it the oldest commit seen is named.
_MAX_HISTORY = 1000


def add_routes(app: web.Application) -> None:
    """Add the routes."""
    base = f"/api/{KIND}/{REPO}"
    app.router.add_get(f"{base}/tree/{{rev}}", tree)
    app.router.add_get(f"{base}/tree/{{rev}}/{{path:.+}}", tree)
    app.router.add_post(f"{base}/paths-info/{{rev}}", paths_info)


async def tree(request: web.Request) -> web.Response:
    """``GET …/tree/{rev}[/{path}]``: a page of a folder, or of all below it; pages go on after the last path."""
    repo = open_repo(request)
    content = request.app[CONTENT]
    path = request.match_info.get("path", "").strip("/")
    recursive, expand = request.query.get("recursive") == "true", request.query.get("expand") == "true"
    start = int(request.query.get("cursor", "0"))
    page = _PAGE_EXPANDED if expand else _PAGE
    # Later pages stay on the commit of the first one, whatever happens to the branch meanwhile.
    revision = request.query.get("at") or request.match_info["rev"]

    def collect() -> tuple[str, list[TreeEntry], bool]:
        commit = repo.resolve(revision)
        found = list(islice(repo.entries(commit, path, recursive=recursive), start, start + page + 1))
        entries = list(_messages(repo, content, commit, found[:page], expand))
        return str(commit.id), entries, len(found) > page

    commit, entries, more = await in_worker(request, collect)
    headers = {"X-Repo-Commit": commit}
    if more:
        headers["Link"] = f'<{request.url.update_query(cursor=start + page, at=commit)}>; rel="next"'
    return json_response(encode(entries), headers=headers)


async def paths_info(request: web.Request) -> web.Response:
    """``POST …/paths-info/{rev}``, form or JSON; unknown paths are left out."""
    repo = open_repo(request)
    content = request.app[CONTENT]
    if request.content_type == "application/json":
        wanted = decode(await request.read(), PathsInfo, what="paths-info")
    else:
        form = await request.post()
        wanted = PathsInfo(paths=[str(path) for path in form.getall("paths", [])], expand=form.get("expand") == "true")

    def collect() -> tuple[str, list[TreeEntry]]:
        commit = repo.resolve(request.match_info["rev"])
        found = (repo.entry(commit, path.strip("/")) for path in wanted.paths)
        return str(commit.id), list(_messages(repo, content, commit, (e for e in found if e and e.path), wanted.expand))

    commit, entries = await in_worker(request, collect)
    return json_response(encode(entries), headers={"X-Repo-Commit": commit})


def _messages(
    repo: Repository, content: ContentStore, commit: object, entries: Iterable[Entry], expand: bool
) -> Iterator[TreeEntry]:
    entries = list(entries)
    last = _last_commits(repo, commit, entries) if expand else {}
    for entry in entries:
        kind = "directory" if entry.is_folder else "file"
        message = TreeEntry(type=kind, path=entry.path, oid=entry.oid, size=entry.size)  # type: ignore[arg-type]
        if entry.lfs:
            message.lfs = LfsInfo(oid=entry.lfs.sha256, size=entry.lfs.size, pointer_size=entry.blob_size)
            stored = content.find_by_sha256(entry.lfs.sha256)
            message.xet_hash = stored.xet_hash if stored else None
        message.last_commit = last.get(entry.path)
        yield message


def _last_commits(repo: Repository, commit: object, entries: list[Entry]) -> dict[str, LastCommit]:
    """The commit that last changed each entry: one walk back through history for all of them."""
    waiting = {entry.path: entry.oid for entry in entries}
    found: dict[str, LastCommit] = {}
    history = repo.history(commit)  # type: ignore[arg-type]  # pygit2 stays in the store
    newer = None
    for older in islice(history, _MAX_HISTORY):
        if newer is not None:
            for path in [path for path, oid in waiting.items() if _oid(repo, older, path) != oid]:
                del waiting[path]
                found[path] = _last(newer)
        if not waiting:
            return found
        newer = older
    return found | {path: _last(newer) for path in waiting}


def _oid(repo: Repository, commit: object, path: str) -> str | None:
    entry = repo.entry(commit, path)  # type: ignore[arg-type]  # pygit2 stays in the store
    return entry.oid if entry else None


def _last(commit: object) -> LastCommit:
    message: str = commit.message  # type: ignore[attr-defined]  # a pygit2.Commit
    moment: int = commit.commit_time  # type: ignore[attr-defined]
    return LastCommit(id=str(commit.id), title=message.partition("\n")[0], date=timestamp(moment))  # type: ignore[attr-defined]
