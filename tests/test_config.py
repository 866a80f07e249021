"""Endpoints, credentials, limits: where they come from, and what never leaks."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from pyxet import config
from pyxet.config import (
    DEFAULT_ENDPOINT,
    Credential,
    Limits,
    RetryPolicy,
    Timeouts,
    default_memory,
    embedded_root,
    is_embedded,
    login,
    login_file,
    logout,
    resolve_credential,
    resolve_endpoint,
    usable_cores,
)
from pyxet.errors import ConfigError, XetURLError
from pyxet.secrets import Secret

MIB = 1024 * 1024
VARIABLES = ("XET_ENDPOINT", "HF_ENDPOINT", "XET_USER_NAME", "XET_USER_TOKEN", "HF_TOKEN", "HF_TOKEN_PATH", "HF_HOME")


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    logout()
    yield
    logout()


# -- endpoints ---------------------------------------------------------------------------------------------------------


def test_endpoints_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_endpoint() == DEFAULT_ENDPOINT
    monkeypatch.setenv("HF_ENDPOINT", "hub.example")
    assert resolve_endpoint() == "https://hub.example"
    monkeypatch.setenv("XET_ENDPOINT", "http://xet.example/")
    assert resolve_endpoint() == "http://xet.example"
    login("me", "t", host="localhost:1")
    assert resolve_endpoint() == "http://localhost:1"
    assert resolve_endpoint(None, "in-url.example") == "https://in-url.example"
    assert resolve_endpoint("argument.example", "in-url.example") == "https://argument.example"
    logout("localhost:1")
    assert resolve_endpoint() == "http://xet.example"


def test_endpoints_in_this_process(tmp_path: Path) -> None:
    assert resolve_endpoint("local") == "local"
    assert resolve_endpoint("file:///srv/xet/") == "file:///srv/xet"
    assert [is_embedded(text) for text in ("local", "file:///a", "https://local")] == [True, True, False]
    assert embedded_root("file:///srv/xet") == Path("/srv/xet")
    assert embedded_root("local").is_relative_to(tmp_path)
    with pytest.raises(ConfigError, match="absolute"):
        resolve_endpoint("file:relative")
    # The first part would be a host, not a folder.
    with pytest.raises(ConfigError, match="file:///absolute/directory"):
        resolve_endpoint("file://data/store")


@pytest.mark.parametrize("folder", ["/srv/with space", "/srv/100%", "/srv/ü#?x"])
def test_a_folder_of_any_name_is_the_one_that_is_served(folder: str) -> None:
    assert embedded_root(resolve_endpoint(Path(folder).as_uri())) == Path(folder)
    with pytest.raises(XetURLError):
        resolve_endpoint("not an endpoint")


# -- credentials -------------------------------------------------------------------------------------------------------


def test_an_argument_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "env")
    assert resolve_credential(DEFAULT_ENDPOINT, token="arg") == Credential(DEFAULT_ENDPOINT, None, Secret("arg"))
    assert resolve_credential(DEFAULT_ENDPOINT, token="").token is None
    assert resolve_credential(DEFAULT_ENDPOINT, user="me") == Credential(DEFAULT_ENDPOINT, "me", Secret("env"))


def test_hub_tokens_are_for_the_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    token_file = tmp_path / "token"
    token_file.write_text("from-file\n")
    monkeypatch.setenv("HF_TOKEN_PATH", str(token_file))
    assert resolve_credential(DEFAULT_ENDPOINT).token == Secret("from-file")
    assert resolve_credential("https://other.example").token is None
    monkeypatch.setenv("HF_TOKEN", "from-env")
    assert resolve_credential(DEFAULT_ENDPOINT).token == Secret("from-env")
    assert resolve_credential("https://other.example").token is None
    monkeypatch.setenv("HF_ENDPOINT", "https://other.example")
    assert resolve_credential(DEFAULT_ENDPOINT).token is None
    assert resolve_credential("https://other.example").token == Secret("from-env")


def test_places_of_the_hubs_token_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for folder in (tmp_path / "huggingface", tmp_path / "home"):
        folder.mkdir()
        (folder / "token").write_text(folder.name)
    assert resolve_credential(DEFAULT_ENDPOINT).token == Secret("huggingface")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    assert resolve_credential(DEFAULT_ENDPOINT).token == Secret("home")
    (tmp_path / "home" / "token").write_text("  \n")
    assert resolve_credential(DEFAULT_ENDPOINT).token is None


def test_xet_tokens_are_for_their_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XET_USER_NAME", "me")
    monkeypatch.setenv("XET_USER_TOKEN", "xet")
    assert resolve_credential(DEFAULT_ENDPOINT) == Credential(DEFAULT_ENDPOINT, "me", Secret("xet"))
    monkeypatch.setenv("XET_ENDPOINT", "localhost:1")
    assert resolve_credential(DEFAULT_ENDPOINT).token is None
    assert resolve_credential("http://localhost:1").token == Secret("xet")
    monkeypatch.setenv("HF_TOKEN", "hub")
    assert resolve_credential(DEFAULT_ENDPOINT).token == Secret("hub")
    assert resolve_credential("http://localhost:1").token == Secret("xet")


def test_logins_are_for_their_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hub")
    login("me", "mine", "me@example.com", host="localhost:1")
    login("you", "yours", host="LOCALHOST:2")
    assert resolve_credential("http://localhost:1") == Credential("http://localhost:1", "me", Secret("mine"))
    assert resolve_credential("http://localhost:2").token == Secret("yours")
    assert resolve_credential(DEFAULT_ENDPOINT).token == Secret("hub")
    logout("localhost:1")
    assert resolve_credential("http://localhost:1").token is None
    login("me", "default", host=None)
    assert resolve_credential("http://localhost:2").token == Secret("default")
    logout()
    assert resolve_credential("http://localhost:2").token is None


@pytest.mark.parametrize(("user", "token"), [("", "t"), ("u", "")])
def test_empty_logins(user: str, token: str) -> None:
    with pytest.raises(ConfigError):
        login(user, token)


def test_the_login_file() -> None:
    path = login_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"http://localhost:1": {"user": "me", "token": "kept"}, "http://localhost:2": "odd"}))
    assert resolve_credential("http://localhost:1") == Credential("http://localhost:1", "me", Secret("kept"))
    assert resolve_credential("http://localhost:2").token is None
    assert resolve_credential("http://localhost:3").token is None
    path.write_text("[]")
    assert resolve_credential("http://localhost:1").token is None
    path.write_text("{")
    with pytest.raises(ConfigError, match="log in again"):
        resolve_credential("http://localhost:1")


def test_tokens_do_not_show() -> None:
    credential = Credential(DEFAULT_ENDPOINT, "me", Secret("hunter2"))
    assert "hunter2" not in repr(credential)
    assert "hunter2" not in str(credential)
    assert b"hunter2" not in pickle.dumps(credential)


# -- limits ------------------------------------------------------------------------------------------------------------


def test_limits_are_checked() -> None:
    wrong: dict[str, Any]
    assert Limits().memory == default_memory()
    for wrong in ({"concurrency": 0}, {"memory": 16 * MIB - 1}, {"bandwidth": 1000}):
        with pytest.raises(ConfigError, match="at least"):
            Limits(**wrong)
    for wrong in ({"attempts": 0}, {"base_delay": -1.0}, {"base_delay": 2.0, "max_delay": 1.0}):
        with pytest.raises(ConfigError):
            RetryPolicy(**wrong)
    for wrong in ({"connect": 0}, {"response": -1}, {"progress": 0}):
        with pytest.raises(ConfigError):
            Timeouts(**wrong)


@pytest.mark.parametrize(("total", "memory"), [(20, 16), (400, 100), (64 * 1024, 256)])
def test_default_memory_is_a_quarter(monkeypatch: pytest.MonkeyPatch, total: int, memory: int) -> None:
    values = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": total * MIB // 4096}
    monkeypatch.setattr(config.os, "sysconf", values.__getitem__)
    monkeypatch.setattr(config.Path, "read_text", lambda self, **_: "max\n")
    assert default_memory() == memory * MIB
    assert Limits().memory == memory * MIB


def test_default_memory_of_a_cgroup(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config.Path, "read_text", lambda self, **_: f"{200 * MIB}\n")
    assert default_memory() == 50 * MIB


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, 8),
        ({"/sys/fs/cgroup/cpu.max": "max 100000\n"}, 8),
        ({"/sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2),
        ({"/sys/fs/cgroup/cpu.max": "150000 100000\n"}, 2),
        ({"/sys/fs/cgroup/cpu.max": "1000 100000\n"}, 1),
        # A group within a group: the smallest quota counts.
        ({"/proc/self/cgroup": "0::/a/b\n", "/sys/fs/cgroup/a/cpu.max": "300000 100000\n"}, 3),
        (
            {
                "/proc/self/cgroup": "0::/a/b\n",
                "/sys/fs/cgroup/a/b/cpu.max": "100000 100000\n",
                "/sys/fs/cgroup/a/cpu.max": "300000 100000\n",
            },
            1,
        ),
        # Version 1, inside a container and outside of it.
        ({"/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n", "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"}, 8),
        ({"/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "250000\n", "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"}, 3),
        (
            {
                "/proc/self/cgroup": "4:memory:/x\n2:cpu,cpuacct:/job\n",
                "/sys/fs/cgroup/cpu/job/cpu.cfs_quota_us": "400000\n",
                "/sys/fs/cgroup/cpu/job/cpu.cfs_period_us": "100000\n",
            },
            4,
        ),
        ({"/sys/fs/cgroup/cpu.max": "nonsense"}, 8),
        ({"/sys/fs/cgroup/cpu.max": "100000 0"}, 8),
    ],
)
def test_usable_cores_follow_the_quota(monkeypatch: pytest.MonkeyPatch, files: dict[str, str], cores: int) -> None:
    def read(path: Path, **_: object) -> str:
        if str(path) not in files:
            raise FileNotFoundError(path)
        return files[str(path)]

    monkeypatch.setattr(config.os, "cpu_count", lambda: 16)
    monkeypatch.setattr(config.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(config.Path, "read_text", read)
    assert usable_cores() == cores


def test_usable_cores_without_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(config.os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(config.os, "cpu_count", lambda: None)
    assert usable_cores() == 1


def test_logins_that_are_saved_at_once_are_all_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    hosts = [f"http://host{number}.example" for number in range(16)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda host: config.login("ann", "secret", host=host, save=True), hosts))
    assert sorted(config.saved_endpoints()) == sorted(hosts)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda host: config.logout(host, saved=True), hosts[1:]))
    assert config.saved_endpoints() == hosts[:1]
    config.logout()


def test_a_login_file_that_another_process_keeps_locked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr("pyxet.private_files._PATIENCE", 0.01)
    (tmp_path / "xet").mkdir()
    with FileLock(tmp_path / "xet" / ".login.json.lock"), pytest.raises(ConfigError, match=r"login.json.*lock"):
        config.login("ann", "secret", host="http://host.example", save=True)
    assert config.saved_endpoints() == []
