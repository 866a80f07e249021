"""Users, organizations, roles and tokens of an endpoint, as its routes know them; changed while it serves."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.people import Folks
from support.raw_client import Basic, Content, RawClient, regular
from support.routes import routes

from pyxet.errors import AlreadyExistsError, ConfigError
from pyxet.server.people import People, PeopleFile
from pyxet.server.state import MAX_PASSWORD_QUEUE, PASSWORD_QUEUE, PASSWORDS
from pyxet.testing import LocalEndpoint, local_endpoint
from pyxet.types import KINDS


@pytest.fixture
def endpoint() -> Iterator[LocalEndpoint]:
    """One that ``root`` runs."""
    with local_endpoint(user="root") as running:
        yield running


@pytest.fixture
def folks(endpoint: LocalEndpoint) -> Folks:
    return Folks(endpoint)


def create(client: RawClient, repo: str, **more: object) -> int:
    owner, name = repo.split("/")
    return client.post("/api/repos/create", {"organization": owner, "name": name, **more}).status


def basic(client: RawClient, user: str, secret: str) -> Basic:
    return Basic(client.endpoint, f"{user}:{secret}")


def rights(client: RawClient, repo: str) -> list[int]:
    """Statuses of reading, writing a commit, settings of a repository."""
    return [
        client.get(f"/api/models/{repo}").status,
        client.commit(repo, regular("a.txt", str(time.time_ns()))).status,
        client.call("PUT", f"/api/models/{repo}/settings", {}, Content_Type="application/json").status,
    ]


def test_roles_say_what_a_member_may_do(endpoint: LocalEndpoint, folks: Folks) -> None:
    admin = folks.user("ada", acme="admin")
    writer, reader, stranger = folks.user("will", acme="write"), folks.user("rea", acme="read"), folks.user("eve")
    assert [create(client, "acme/closed", private=True) for client in (stranger, reader)] == [403, 403]
    assert create(admin, "acme/closed", private=True) == 200
    assert create(writer, "acme/open") == 200
    assert rights(admin, "acme/closed") == [200, 200, 200]
    assert rights(writer, "acme/closed") == [200, 200, 403]
    assert rights(reader, "acme/closed") == [200, 403, 403]
    assert rights(stranger, "acme/closed") == [404, 404, 404]
    assert rights(RawClient(endpoint), "acme/closed") == [404, 404, 404]
    assert rights(stranger, "acme/open") == [200, 403, 403]
    assert rights(RawClient(endpoint), "acme/open") == [200, 401, 401]
    for client, seen in ((admin, True), (writer, True), (reader, True), (stranger, False)):
        listed = [repo["id"] for repo in client.get("/api/models?author=acme").json]
        assert ("acme/closed" in listed) == seen
    answer = writer.call("DELETE", "/api/repos/delete", {"organization": "acme", "name": "open"})
    assert answer.status == 403
    assert answer.json["error"] == "will has the role write in acme; this needs admin"
    me = reader.get("/api/whoami-v2").json
    assert (me["name"], me["orgs"]) == ("rea", [{"name": "acme", "roleInOrg": "read"}])
    assert me["auth"]["accessToken"] == {"displayName": "laptop", "role": "write"}
    # Their own name is theirs, and nobody else's.
    assert create(reader, "rea/mine", private=True) == 200
    assert rights(reader, "rea/mine") == [200, 200, 200]
    assert rights(admin, "rea/mine") == [404, 404, 404]
    # Who runs the endpoint may do everything.
    assert rights(RawClient(endpoint, endpoint.token), "acme/closed") == [200, 200, 200]
    folks.file.change(lambda people: people.with_member("acme", "will", None))
    assert rights(writer, "acme/closed") == [404, 404, 404]


def test_a_revoked_token_is_no_token_at_once(endpoint: LocalEndpoint, folks: Folks) -> None:
    ada = folks.user("ada")
    assert create(ada, "ada/r") == 200
    other = folks.token("ada")
    content = Content.of(os.urandom(5000))
    cas = ada.cas("ada/r")
    assert cas.post(f"/v1/xorbs/default/{content.xorb_name}", content.xorb_bytes).status == 200
    folks.revoke(ada)
    assert ada.get("/api/whoami-v2").status == 401
    assert ada.get("/api/models/ada/r").status == 401
    answer = cas.post("/v2/shards", content.shard())
    assert answer.status == 401
    assert "revoked" in answer.json["error"]
    assert other.get("/api/whoami-v2").status == 200
    folks.file.change(lambda people: people.without_user("ada"))
    assert other.get("/api/whoami-v2").status == 401
    with pytest.raises(ConfigError, match="there is no such token"):
        folks.revoke(other)


def test_a_token_ends_when_it_says(folks: Folks) -> None:
    folks.user("ada")
    answer = folks.token("ada", expires=time.time() - 1).get("/api/whoami-v2")
    assert answer.status == 401
    assert answer.json["error"] == "this token has expired"
    assert folks.token("ada", expires=time.time() + 3600).get("/api/whoami-v2").status == 200


def test_a_token_is_for_its_scope_and_repositories(folks: Folks) -> None:
    ada = folks.user("ada", acme="admin")
    for name in ("acme/one", "acme/two", "ada/own"):
        assert create(ada, name, private=True) == 200
    reading = folks.token("ada", "read")
    assert rights(reading, "acme/one") == [200, 403, 403]
    one = folks.token("ada", repos=("acme/one",))
    assert rights(one, "acme/one") == [200, 200, 200]
    assert rights(one, "acme/two") == rights(one, "ada/own") == [404, 404, 404]
    assert create(one, "acme/three") == 403
    whole = folks.token("ada", repos=("acme",))
    assert rights(whole, "acme/two") == [200, 200, 200]
    assert rights(whole, "ada/own") == [404, 404, 404]
    assert [repo["id"] for repo in one.get("/api/models").json if repo["private"]] == ["acme/one"]
    # What the token's user may see elsewhere is not this token's either.
    secret = ada.upload("acme/two", os.urandom(3000))
    assert ada.commit("acme/two", secret.line("a.bin")).status == 200
    assert one.commit("acme/one", secret.line("b.bin")).status == 400
    assert ada.commit("acme/one", secret.line("b.bin")).status == 200


def test_a_name_and_a_secret_as_git_sends_them(endpoint: LocalEndpoint, folks: Folks) -> None:
    ada = folks.user("ada", "correct horse", acme="write")
    assert create(ada, "acme/closed", private=True) == 200

    def who(user: str, secret: str) -> object:
        answer = basic(ada, user, secret).get("/api/whoami-v2")
        return answer.json["name"] if answer.status == 200 else answer.status

    # A token with any name, or in the place of one.
    for user, secret in (("ada", ada.token), ("hf_user", ada.token), (ada.token, ""), ("ada", "correct horse")):
        assert who(user, secret) == "ada"
    for user, secret in (
        ("ada", "wrong horse"), ("ada", ""), ("eve", "correct horse"), ("", ""), ("ada", "correct horse "),
    ):  # fmt: skip
        assert who(user, secret) == 401
    assert ada.call("GET", "/api/whoami-v2", Authorization="Basic ***").status == 401
    by_password = basic(ada, "ada", "correct horse")
    assert rights(by_password, "acme/closed") == [200, 200, 403]
    cas = RawClient(endpoint, by_password.cas("acme/closed").token)
    content = Content.of(b"x")
    path = f"/v1/xorbs/default/{content.xorb_name}"
    assert cas.post(path, content.xorb_bytes).status == 200
    # What was made with a password ends with it.
    folks.file.change(lambda people: people.with_password("ada", "another"))
    assert by_password.get("/api/whoami-v2").status == 401
    assert cas.post(path, content.xorb_bytes).status == 401
    assert who("ada", "another") == "ada"


def test_wrong_passwords_keep_nobody_waiting(endpoint: LocalEndpoint, folks: Folks) -> None:
    ada = folks.user("ada", "correct horse")
    known = basic(ada, "ada", "correct horse")
    assert known.get("/api/whoami-v2").status == 200
    app = endpoint.start().app
    # The thread that checks passwords is busy for as long as this takes.
    free = threading.Event()
    app[PASSWORDS].submit(free.wait)
    queue = app[PASSWORD_QUEUE]
    try:
        with ThreadPoolExecutor(MAX_PASSWORD_QUEUE) as guessing:
            guesses = [
                guessing.submit(basic(ada, "ada", f"guess {number}").get, "/api/whoami-v2")
                for number in range(MAX_PASSWORD_QUEUE)
            ]
            while not queue.locked():
                time.sleep(0.01)
            # Whoever has used theirs lately, or has a token, is served; one more guess is not even checked.
            assert known.get("/api/whoami-v2").status == 200
            assert ada.get("/api/whoami-v2").status == 200
            assert basic(ada, "ada", "one more").get("/api/whoami-v2").status == 503
            free.set()
            assert {guess.result().status for guess in guesses} == {401}
    finally:
        free.set()
    assert not queue.locked()


def test_who_is_nobody_is_told_how_to_say_who_they_are(endpoint: LocalEndpoint) -> None:
    client = RawClient(endpoint)
    answer = client.get("/api/whoami-v2")
    assert (answer.status, answer.headers["www-authenticate"].split()[0]) == (401, "Bearer")
    answer = client.get("/api/whoami-v2", User_Agent="git/2.39.5")
    assert (answer.status, answer.headers["www-authenticate"].split()[0]) == (401, "Basic")


@pytest.mark.needs("modes")
def test_secrets_are_kept_as_hashes(folks: Folks) -> None:
    token = folks.user("ada", "correct horse").token
    path = folks.endpoint.root / "people.json"
    text = path.read_text()
    assert token not in text
    assert "correct horse" not in text
    assert path.stat().st_mode & 0o777 == 0o600
    assert json.loads(text)["users"]["ada"].startswith("scrypt:")


def test_names_are_there_once(folks: Folks) -> None:
    folks.user("ada", acme="admin")

    def wrong(error: type[Exception], change: Callable[[People], People]) -> None:
        with pytest.raises(error, match="there is"):
            folks.file.change(change)

    for taken in ("ada", "ADA", "acme"):
        wrong(AlreadyExistsError, lambda people, name=taken: people.with_user(name))  # type: ignore[misc]  # bound early
        wrong(AlreadyExistsError, lambda people, name=taken: people.with_org(name))  # type: ignore[misc]  # bound early
    wrong(ConfigError, lambda people: people.with_member("acme", "nobody", "read"))
    wrong(ConfigError, lambda people: people.with_member("nothing", "ada", "read"))
    wrong(ConfigError, lambda people: people.with_token("nobody", "", "read")[0])


def test_nobody_is_called_as_paths_of_the_endpoint_begin(endpoint: LocalEndpoint, folks: Folks) -> None:
    marked = {"owner": "OWNER", "kind": "KIND"}
    first = {path.split("/")[1] for _, path in routes(endpoint, "x/y", **marked)} - set(marked.values())
    assert {"api", "v1"} <= first
    client = RawClient(endpoint, endpoint.token)
    for name in (*first, "API", *KINDS):
        for change in (People.with_user, People.with_org):
            with pytest.raises(ConfigError, match="cannot own repositories"):
                folks.file.change(lambda people, change=change, name=name: change(people, name))  # type: ignore[misc]  # bound early
        assert create(client, f"{name}/models") == 400
        with pytest.raises(ConfigError, match="cannot own repositories"):
            local_endpoint(user=name).start()


def test_a_file_that_is_not_understood_lets_nobody_in(endpoint: LocalEndpoint, folks: Folks) -> None:
    ada = folks.user("ada")
    path = endpoint.root / "people.json"
    said = json.loads(path.read_text())
    for text in (json.dumps({**said, "version": 99}), "{", "[]", '{"version": 1}'):
        path.write_text(text)
        assert ada.get("/api/whoami-v2").status == 500
        with pytest.raises(ConfigError):
            PeopleFile(endpoint.root)
        with pytest.raises(ConfigError):
            folks.file.change(lambda people: people)
        assert path.read_text() == text
    path.write_text(json.dumps(said))
    assert ada.get("/api/whoami-v2").status == 200


def test_processes_that_change_the_file_take_turns(tmp_path: Path) -> None:
    def add(number: int, turn: int) -> None:
        files[number].change(lambda people: people.with_user(f"u{number}-{turn}"))

    files = [PeopleFile(tmp_path) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(add, number, turn) for number in range(4) for turn in range(10)]
        for job in jobs:
            job.result()
    assert len(PeopleFile(tmp_path).current.users) == 40


def test_whose_a_target_is_says_not_whether_it_is_there(folks: Folks) -> None:
    """Also of what a message names beside the route's own repository."""
    ada, eve = folks.user("ada", acme="admin"), folks.user("eve")
    narrow = folks.token("ada", repos=("ada/own",))
    assert create(ada, "acme/closed", private=True) == create(ada, "ada/own") == create(eve, "eve/own") == 200
    for client, source in ((eve, "eve/own"), (narrow, "ada/own")):
        for route, body in (
            ("/api/models/{source}/lfs-files/duplicate", {"target": {"type": "model", "name": "{target}"}, "files": []}),
            ("/api/models/{source}/duplicate", {"repository": "{target}"}),
            ("/api/repos/move", {"fromRepo": "{source}", "toRepo": "{target}", "type": "model"}),
            ("/api/repos/move", {"fromRepo": "{target}", "toRepo": "{source}", "type": "model"}),
            ("/api/repos/create", {"organization": "acme", "name": "{name}"}),
        ):  # fmt: skip
            answers = []
            for target in ("acme/closed", "acme/nothing"):
                names = {"{source}": source, "{target}": target, "{name}": target.partition("/")[2]}
                text = json.dumps(body)
                for word, name in names.items():
                    text = text.replace(word, name)
                answer = client.post(route.replace("{source}", source), text, Content_Type="application/json")
                answers.append((answer.status, answer.body.replace(target.encode(), b"")))
            assert answers[0] == answers[1], route
            assert answers[0][0] == 403, (route, answers)
