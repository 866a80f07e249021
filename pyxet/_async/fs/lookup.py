"""The base of those parts of the file system that look paths up.

Errors other than "not found" are raised, never reported as a missing path. A listing is either complete or raises.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from pyxet._async.changes.view import Entry, View
from pyxet._async.fs.base import FileSystemBase
from pyxet._async.runtime.tasks import run_all
from pyxet._async.tree.trees import missing_entry
from pyxet.errors import ConfigError, NotFoundError, NotSupportedError, XetError, XetURLError
from pyxet.protocol.dates import parse_date
from pyxet.types import Info, RemoteFile, RepoId
from pyxet.urls import XetURL

if TYPE_CHECKING:
    from pyxet.protocol.messages import RepoInfo

# The entry at a path, and the view in which it was found.
Located: TypeAlias = tuple[View, Entry]


class Lookup(FileSystemBase):
    """Looks up paths inside branches and above them."""

    async def _lookup(self, url: XetURL, repo: RepoId, revision: str, *, to_read: bool = False) -> Located:
        """Look up a path inside a branch. Raises `EntryNotFoundError` if nothing is at the path now. See `_look`."""
        found = await self._look(repo, revision, [url.path], to_read=to_read)
        if url.path not in found:
            raise missing_entry(repo, revision, url.path)
        return found[url.path]

    async def _look(
        self, repo: RepoId, revision: str, paths: Sequence[str], *, revalidate: bool = True, to_read: bool = False
    ) -> dict[str, Located]:  # fmt: skip
        """Look up some paths inside a branch. Paths with nothing at them are left out.

        Parameters
        ----------
        revalidate:
            See `_lookup_all`.
        to_read:
            Whether the files will be read next: then the token for reading is requested at the same time.
        """
        client = await self._connect()
        transaction = self._open_transaction()
        changes = transaction.edits.pending(repo, revision) if transaction is not None else None
        if changes is None:
            if to_read and (cas := client.cas(repo)).lacks_token:
                async with cas.token_beside(client.trees.full_name(repo, revision)) as stop:
                    commit, entries = await client.trees.entries_at(
                        repo, revision, paths, self._max_age, revalidate=revalidate
                    )
                    if not any(entry.xet_hash for entry in entries.values()):
                        stop()
            else:
                commit, entries = await client.trees.entries_at(
                    repo, revision, paths, self._max_age, revalidate=revalidate
                )
            view = View(client.trees, repo, commit, revision=revision)
            return {path: (view, view.stored(entries[path])) for path in paths if path in entries}
        view = View(client.trees, repo, changes.base, changes, revision=revision)
        found: dict[str, Located] = {path: (view, there) for path, there in (await view.lookup_all(paths)).items()}
        # Others may have committed since the changes began. Paths that the changes delete count as missing all the same.
        missing = [path for path in paths if path not in found and not changes.pending.deletes(path)]
        newer = await self._newer_view(view, revision) if missing and revalidate else None
        if newer is not None:
            found |= {path: (newer, there) for path, there in (await newer.lookup_all(missing)).items()}
        return found

    async def _lookup_all(
        self, paths: Sequence[str], *, revalidate: bool = True, to_read: bool = False
    ) -> dict[str, Located | NotFoundError]:  # fmt: skip
        """Look up many paths inside branches with few requests. The result for a missing path is its `NotFoundError`.

        Parameters
        ----------
        revalidate:
            Whether missing paths are looked up in the branch's present commit too, and not only in the last known one.
        to_read:
            See `_look`.

        Raises
        ------
        XetError
            Any error other than `NotFoundError`.
        """
        results: dict[str, Located | NotFoundError] = {}
        for path, there in (await self._lookup_each(paths, revalidate=revalidate, to_read=to_read)).items():
            if isinstance(there, Exception) and not isinstance(there, NotFoundError):
                raise there
            results[path] = there
        return results

    async def _lookup_each(
        self, paths: Sequence[str], *, revalidate: bool = True, to_read: bool = False
    ) -> dict[str, Located | Exception]:  # fmt: skip
        """Like `_lookup_all`, but each error is returned as the result of the paths that it concerns."""
        results: dict[str, Located | Exception] = {}
        grouped: defaultdict[tuple[RepoId, str], dict[str, str]] = defaultdict(dict)
        for path in paths:
            try:
                url, repo, revision = self._parse_file(path)
            except (XetURLError, NotSupportedError) as error:
                results[path] = error
            else:
                grouped[repo, revision][path] = url.path

        async def look(item: tuple[tuple[RepoId, str], dict[str, str]]) -> None:
            (repo, revision), group = item
            try:
                inside = list(dict.fromkeys(group.values()))
                found = await self._look(repo, revision, inside, revalidate=revalidate, to_read=to_read)
            except XetError as error:
                results.update(dict.fromkeys(group, error))
                return
            for path, name in group.items():
                results[path] = found.get(name) or missing_entry(repo, revision, name)

        await run_all(look, grouped.items(), limit=self.limits.concurrency)
        return {path: results[path] for path in paths}

    async def _top(self, url: XetURL, repo: RepoId, revision: str) -> Located:
        """Look up a path inside a branch, or the top of a branch."""
        return await self._lookup(url, repo, revision) if url.path else (await self._view(repo, revision), Entry(""))

    async def _info_above(self, url: XetURL) -> Info:
        """Look up the root, an owner or a repository."""
        repo = url.repo_id
        if repo is not None:
            client = await self._connect()
            return repo_info(url, await client.hub.repo_info(repo))
        if url.owner is not None:
            await self._ls_owner(url)
            return folder_info(url.full_path, "owner")
        return folder_info(url.full_path, "root")

    async def _ls_owner(self, url: XetURL) -> list[Info]:
        client = await self._connect()
        assert url.owner is not None
        infos = []
        async for info in client.hub.list_repos(url.owner, url.kind):
            name = info.id.rpartition("/")[2]
            infos.append(repo_info(XetURL(kind=url.kind, owner=url.owner, repo=name), info))
        if not infos and url.owner not in await self._own_names():
            raise NotFoundError(f"{url.owner!r} has no {url.kind} here, or none that this token may see", status=404)
        return infos

    async def _own_names(self) -> list[str]:
        """The names of the token's user and organizations; empty without a token."""
        client = await self._connect()
        if (await client.current()).token is None:
            return []
        who = await client.hub.whoami()
        return [who.name, *(org.name for org in who.orgs)]

    async def _ls_inside(self, view: View, url: XetURL, *, expand: bool = False) -> list[Info]:
        if url.path:
            found = await view.lookup(url.path)
            if found is None:
                raise view.missing(url.path)
            if not found.is_folder:
                return [await self._info(url.full_path, expand=True) if expand else view.info(url.branch_path, found)]
        children = await (view.dated_children(url.path) if expand else view.children(url.path))
        return [view.info(url.branch_path, child) for child in children]


def expect(found: Located | Exception) -> Located:
    """Return a result of `Lookup._lookup_all` or `Lookup._lookup_each`; raise it if it is an error."""
    if isinstance(found, Exception):
        raise found
    return found


def repo_info(url: XetURL, info: RepoInfo) -> Info:
    """A repository as fsspec describes a directory."""
    entry = folder_info(url.full_path, "repo")
    entry["private"] = info.private
    entry["commit"] = info.sha  # type: ignore[typeddict-item]  # none in a repository without commits
    if info.last_modified:
        entry["last_modified"] = parse_date(info.last_modified)
    if info.created_at:
        entry["created"] = parse_date(info.created_at)
    return entry


def branch_path(url: XetURL, name: str) -> str:
    """The path of a branch of the repository that a URL names."""
    return replace(url, revision=name, path="", endpoint=None).full_path


def branch_info(path: str, commit: str) -> Info:
    """A branch as fsspec describes a directory."""
    info = folder_info(path, "branch")
    info["commit"] = commit
    return info


def folder_info(name: str, kind: Literal["root", "owner", "repo", "branch"]) -> Info:
    return {  # type: ignore[typeddict-item]  # see `Info` for keys that may be missing
        "name": name, "size": 0, "type": "directory", "kind": kind,
    }  # fmt: skip


def stored_of(there: Located | Exception | None) -> RemoteFile | None:
    """The stored file at a path, if there is one."""
    if there is None or isinstance(there, Exception):
        return None
    content = there[1].content
    return content if isinstance(content, RemoteFile) else None


def is_folder(there: Located | Exception) -> bool:
    """Whether there is a folder at a path."""
    return not isinstance(there, Exception) and there[1].is_folder


def check_on_error(on_error: str) -> None:
    """Raise `ConfigError` unless this is a known value: with a misspelt one, errors would be among the contents."""
    if on_error not in ("raise", "omit", "return"):
        raise ConfigError(f"on_error={on_error!r}: expected 'raise', 'omit' or 'return'")


def raise_first(results: Iterable[object]) -> None:
    """Raise the first error among results, if there is one."""
    for result in results:
        if isinstance(result, Exception):
            raise result
