"""Users, organizations and tokens, added to a running endpoint in the way that other processes add them."""

from __future__ import annotations

from pyxet.server.people import People, PeopleFile, Role, Scope
from pyxet.testing import LocalEndpoint
from support.raw_client import RawClient


class Folks:
    """The people of an endpoint."""

    def __init__(self, endpoint: LocalEndpoint) -> None:
        self.endpoint = endpoint
        self.file = PeopleFile(endpoint.root)

    def user(self, name: str, password: str | None = None, **orgs: Role) -> RawClient:
        """Add a user with a token, and with roles in organizations, which are made if needed; return the user's client."""

        def change(people: People) -> People:
            people = people.with_user(name, password)
            for org, role in orgs.items():
                if org not in people.orgs:
                    people = people.with_org(org)
                people = people.with_member(org, name, role)
            return people

        self.file.change(change)
        return self.token(name)

    def token(
        self, user: str, scope: Scope = "write", repos: tuple[str, ...] = (), expires: float | None = None
    ) -> RawClient:  # fmt: skip
        """Add a token for a user; return a client with it."""
        made: list[str] = []

        def change(people: People) -> People:
            changed, text = people.with_token(user, "laptop", scope, repos=repos, expires=expires)
            made[:] = [text]
            return changed

        self.file.change(change)
        return RawClient(self.endpoint, made[0])

    def revoke(self, client: RawClient) -> None:
        """Revoke a client's token."""
        self.file.change(lambda people: people.without_token(client.token))
