"""What most tests stand on: one local endpoint for the run, and a fresh repository for each test."""

from __future__ import annotations

import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import capabilities
from support.authority import Authority
from support.cli import Cli
from support.contents import content
from support.faults import FaultProxy
from support.proxied import proxied
from support.raw_client import RawClient
from support.rights import NOISE
from support.settled import check_budgets
from support.watchdog import Watchdog

import pyxet
from pyxet._async.changes.transaction import members
from pyxet._async.http import limiter
from pyxet.testing import LocalEndpoint, local_endpoint

# A parent that runs the tests in the background has them ignore Ctrl-C, which many of them are about.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    """No test hangs for good."""
    config.pluginmanager.register(Watchdog(config))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tests that need what is not here are skipped, with the reason."""
    capabilities.check(item)


@pytest.fixture(autouse=True)
def no_configuration_of_this_machine(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No endpoint, user or token from the environment or the home of whoever runs the tests."""
    for name in (
        "XET_ENDPOINT",
        "XET_USER_NAME",
        "XET_USER_TOKEN",
        "HF_ENDPOINT",
        "HF_TOKEN",
        "HUGGING_FACE_HUB_TOKEN",
        "HF_OIDC_RESOURCE",
        "HF_OIDC_ID_TOKEN",
        "GITHUB_ACTIONS",
        "HF_HOME",
        "HF_TOKEN_PATH",
        "XDG_CACHE_HOME",
        "XDG_CONFIG_HOME",
        "XDG_DATA_HOME",
        "XDG_STATE_HOME",
        "NO_COLOR",
    ):
        monkeypatch.delenv(name, raising=False)
    # Processes that tests start import what is installed, wherever they run.
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    monkeypatch.setenv("HOME", str(tmp_path_factory.getbasetemp() / "home"))


@pytest.fixture(autouse=True)
def no_memory_of_former_servers() -> Iterator[None]:
    """Ports are used again: what was learnt of a server of an earlier test must not be taken for news of another one."""
    yield
    found = limiter._shared.limiters
    for origin in [origin for origin, known in list(found.items()) if not known.slots.in_use]:
        found.pop(origin, None)


@pytest.fixture(scope="session")
def shared_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalEndpoint]:
    """A local endpoint for all tests that leave it as they find it."""
    root: Path = tmp_path_factory.mktemp("endpoint")
    with local_endpoint(root=root, user="acme") as running:
        yield running


@pytest.fixture
def xet(shared_endpoint: LocalEndpoint) -> pyxet.XetFS:
    """A blocking file system on the shared endpoint."""
    return pyxet.XetFS(endpoint=shared_endpoint.url, user=shared_endpoint.user, token=shared_endpoint.token)


@pytest.fixture
def repo(shared_endpoint: LocalEndpoint) -> str:
    """A new repository with nothing in it."""
    name = f"acme/{uuid.uuid4().hex[:12]}"
    RawClient(shared_endpoint, shared_endpoint.token).make_repo(name)
    return name


@pytest.fixture
def main(repo: str) -> str:
    """The main branch of a new repository."""
    return f"{repo}/main"


@pytest.fixture
def fresh(shared_endpoint: LocalEndpoint) -> pyxet.XetFS:
    """One that looks at branches each time, for tests in which others change them."""
    return pyxet.XetFS(shared_endpoint.url, shared_endpoint.user, shared_endpoint.token, listings_expiry_time=0)


@pytest.fixture
def other(shared_endpoint: LocalEndpoint) -> pyxet.XetFS:
    """Another user's view of the endpoint: what is in no transaction of ours, and always fresh."""
    return pyxet.XetFS(shared_endpoint.url, "somebody", shared_endpoint.token, listings_expiry_time=0)


@pytest.fixture
def through(shared_endpoint: LocalEndpoint) -> Iterator[tuple[FaultProxy, pyxet.XetFS]]:
    """A proxy that counts requests and makes them fail, and a file system that knows the proxy only."""
    with proxied(shared_endpoint) as found:
        yield found


@pytest.fixture
def url(shared_endpoint: LocalEndpoint, main: str) -> str:
    """The main branch as a URL with the endpoint."""
    return f"xet://{shared_endpoint.url.removeprefix('http://')}:{main}"


@pytest.fixture
def options(shared_endpoint: LocalEndpoint) -> dict[str, str]:
    """Who connects, for libraries that make file systems from URLs."""
    return {"user": shared_endpoint.user, "token": shared_endpoint.token}


@pytest.fixture
def tree(xet: pyxet.XetFS, main: str) -> str:
    """A branch with files at some depths, one of them a large one."""
    xet.pipe({
        f"{main}/top.txt": b"top",
        f"{main}/data/a.csv": b"1,2",
        f"{main}/data/b.csv": b"3,4,5",
        f"{main}/data/deep/er/c.bin": content(1, 100_000),
    })  # fmt: skip
    return main


@pytest.fixture(scope="session")
def many(shared_endpoint: LocalEndpoint) -> str:
    """A branch with more files than fit on two pages of a listing: nobody changes it."""
    fs = pyxet.XetFS(shared_endpoint.url, shared_endpoint.user, shared_endpoint.token)
    RawClient(shared_endpoint, shared_endpoint.token).make_repo("acme/many")
    fs.pipe({f"acme/many/main/d{number % 2}/{number:04}": b"x" for number in range(2100)})
    return "acme/many/main"


@pytest.fixture
def nothing_left_behind() -> Iterator[None]:
    """Budgets must be back at nothing after the test, and no transaction may still be open here."""
    yield
    check_budgets()
    assert not [found for found in members.here() if found.active]


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """A folder in which a source says what was read of it."""
    (tmp_path / "notes").mkdir()
    return tmp_path / "notes"


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Where an ingest keeps its journal."""
    return tmp_path / "journal"


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder for state, empty."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def cli(shared_endpoint: LocalEndpoint, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """The ``xet`` command on the shared endpoint, run in an empty folder, with an empty home."""
    return Cli(shared_endpoint, tmp_path, {"HOME": str(tmp_path_factory.mktemp("home"))})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder, not made yet, for an endpoint of the test's own."""
    return tmp_path / "root"


@pytest.fixture
def proxy(shared_endpoint: LocalEndpoint) -> Iterator[FaultProxy]:
    """A proxy in front of the shared endpoint."""
    with FaultProxy(shared_endpoint.url) as running:
        yield running


@pytest.fixture
def authority(shared_endpoint: LocalEndpoint, proxy: FaultProxy) -> Authority:
    """Who makes and renews tokens that the endpoint behind the proxy accepts."""
    return Authority(shared_endpoint, proxy)


@pytest.fixture
def home(proxy: FaultProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the Hub's tool, whose endpoint is the proxy."""
    monkeypatch.setenv("HF_ENDPOINT", proxy.url)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    return tmp_path / "hf"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[LocalEndpoint]:
    """A local endpoint that ``root`` runs, who is none of those who use it: for tests of who may do what."""
    with local_endpoint(user="root") as running:
        yield running


@pytest.fixture(scope="module")
def owner(endpoint: LocalEndpoint) -> RawClient:
    """The user ``acme``, whose repositories the others are asked about."""
    return RawClient(endpoint, endpoint.add_token("acme"))


@pytest.fixture
def guest(endpoint: LocalEndpoint) -> RawClient:
    """A user who owns nothing."""
    return RawClient(endpoint, endpoint.add_token("guest"))


@pytest.fixture
def eve(endpoint: LocalEndpoint) -> RawClient:
    """Another user, who has done nothing yet."""
    name = f"eve-{NOISE.getrandbits(40):x}"
    client = RawClient(endpoint, endpoint.add_token(name))
    client.make_repo(f"{name}/own")
    return client
