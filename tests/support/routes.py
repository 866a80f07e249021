"""The routes of a local endpoint, as paths for requests."""

from __future__ import annotations

from aiohttp import web

from pyxet.testing import LocalEndpoint

_VALUES = {
    "kind": "models", "rev": "main", "branch": "main", "hash": "ab" * 32, "grant": "ab", "path": "x", "num": "1",
    "git": ".git", "rest": "", "oid": "cd" * 32, "comment": "c", "scope": "read",
}  # fmt: skip


def routes(endpoint: LocalEndpoint, repo: str, **values: str) -> list[tuple[str, str]]:
    """The method and a path of each route, for a repository; ``values`` replace the default parts of paths."""
    owner, name = repo.split("/")
    parts = _VALUES | {"owner": owner, "name": name} | values
    found = []
    for route in endpoint.start().app.router.routes():
        assert isinstance(route.resource, web.PlainResource | web.DynamicResource)
        info = route.resource.get_info()
        found.append((route.method, info["path"] if "path" in info else info["formatter"].format(**parts)))
    assert len(found) > 30
    return found
