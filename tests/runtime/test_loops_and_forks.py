"""One instance on any event loop and thread, after forks and in spawned processes; and quiet ends of the interpreter."""

from __future__ import annotations

import asyncio
import gc
import os
import pickle
import random
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from blockbuster import blockbuster_ctx
from support.accounts import account_of
from support.capabilities import need
from support.children import in_child
from support.threads import held_by_a_thread

import pyxet
from pyxet import AsyncXetFileSystem, TransactionError, XetFS, config, local
from pyxet._async import client
from pyxet._async.client import Settings, shared_client
from pyxet._async.files.readahead import ALLOWANCE
from pyxet.testing import LocalEndpoint

# From Python 3.12 on, a fork of a process with threads warns: here they are what is tested.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")

MIB = 1024 * 1024
CONTENT = random.Random(__name__).randbytes(3 * MIB)


@pytest.fixture
def path(xet: XetFS, main: str) -> str:
    xet.pipe_file(f"{main}/x", CONTENT)
    return f"{main}/x"


def access(endpoint: LocalEndpoint) -> dict[str, Any]:
    return {"endpoint": endpoint.url, "user": endpoint.user, "token": endpoint.token}


# -- loops and threads -------------------------------------------------------------------------------------------------


def test_one_instance_on_one_loop_after_another(shared_endpoint: LocalEndpoint, path: str) -> None:
    fs = AsyncXetFileSystem(**access(shared_endpoint), asynchronous=True)
    for number in range(3):
        assert asyncio.run(fs._cat_file(path)) == CONTENT
        asyncio.run(fs._pipe_file(f"{path}{number}", b"x"))
    gc.collect()


def test_one_instance_on_fsspecs_loop_and_on_our_own(xet: XetFS, path: str) -> None:
    async def both() -> None:
        # Blocking and awaited calls in turn, and at once.
        assert xet.cat_file(path, 0, 10) == await xet._cat_file(path, 0, 10)
        found = await asyncio.gather(xet._cat_file(path), asyncio.to_thread(xet.cat_file, path))
        assert list(found) == [CONTENT, CONTENT]

    asyncio.run(both())
    assert xet.cat_file(path) == CONTENT


def test_one_instance_on_the_loops_of_several_threads(xet: XetFS, path: str) -> None:
    ready = threading.Barrier(4)

    def work(number: int) -> bool:
        async def run() -> bool:
            await xet._pipe_file(f"{path}{number}", CONTENT[number:])
            return await xet._cat_file(f"{path}{number}") == CONTENT[number:]

        ready.wait()
        if number % 2:
            return asyncio.run(run())
        xet.pipe_file(f"{path}{number}", CONTENT[number:])
        return xet.cat_file(f"{path}{number}") == CONTENT[number:]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(4))) == [True] * 4
    assert len(xet.find(path.rpartition("/")[0])) == 5


async def test_blocking_calls_inside_a_running_loop(xet: XetFS, path: str) -> None:
    assert xet.cat_file(path) == CONTENT
    assert [names for _, _, names in xet.walk(path.rpartition("/")[0])] == [["x"]]
    with xet.open(path) as file:
        assert file.read() == CONTENT
    with xet.transaction:
        xet.pipe_file(f"{path}2", b"x")
    assert xet.exists(f"{path}2")


def test_a_given_loop_runs_blocking_calls(shared_endpoint: LocalEndpoint, path: str) -> None:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    fs = XetFS(**access(shared_endpoint), loop=loop, skip_instance_cache=True)
    try:
        assert fs.loop is loop
        assert fs.cat_file(path, 0, 5) == CONTENT[:5]
        with pytest.raises(TypeError, match="loop"):
            pickle.dumps(fs)
    finally:
        asyncio.run_coroutine_threadsafe(loop.shutdown_asyncgens(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_an_asynchronous_file_system_does_not_block(shared_endpoint: LocalEndpoint, path: str) -> None:
    for fs in (
        AsyncXetFileSystem(**access(shared_endpoint), asynchronous=True),
        XetFS(**access(shared_endpoint), asynchronous=True),
    ):
        with pytest.raises((RuntimeError, pyxet.NotSupportedError), match="await"):
            fs.exists(path)


async def test_async_with_is_counted_across_instances(shared_endpoint: LocalEndpoint, path: str) -> None:
    one = AsyncXetFileSystem(**access(shared_endpoint), asynchronous=True, skip_instance_cache=True)
    two = AsyncXetFileSystem(**access(shared_endpoint), asynchronous=True, skip_instance_cache=True)
    assert AsyncXetFileSystem(**access(shared_endpoint), asynchronous=True) is AsyncXetFileSystem(
        **access(shared_endpoint), asynchronous=True
    )
    sessions = shared_client(
        Settings(one.credential, one._limits, one._retry, one._timeouts)
    ).transport.sessions.by_loop
    here = asyncio.get_running_loop()
    async with one:
        await one._info(path)
        async with two, two:
            await two._info(path)
            kept = sessions[here].http
        assert not kept.closed
        assert await one._cat_file(path, 0, 3) == CONTENT[:3]
        assert sessions[here].http is kept
    still: object = kept.closed
    assert still
    # And it can be entered again, or used without.
    async with one:
        assert await one._cat_file(path, 0, 3) == CONTENT[:3]


def test_no_call_blocks_the_loop(shared_endpoint: LocalEndpoint, path: str, tmp_path: Path) -> None:
    fs = AsyncXetFileSystem(**access(shared_endpoint), asynchronous=True)
    main = path.rpartition("/")[0]

    async def everything() -> None:
        async with fs:
            await fs._find(main)
            await fs._glob(f"{main}/**")
            assert [item async for item in fs._walk(main)]
            await fs._cat(main, recursive=True)
            await fs._cat_ranges([path] * 2, [0, MIB], [9, 2 * MIB])
            await fs._get_file(path, tmp_path / "x")
            await fs._get(main, str(tmp_path / "all"), recursive=True)
            async with await fs.open_async(path) as file:
                assert await file.read(10) + await file.read(MIB) + await file.read() == CONTENT
            async with fs.transaction:
                await fs._pipe_file(f"{path}p", CONTENT[7:])
                await fs._get_file(f"{path}p", tmp_path / "p")
            await fs._log(main)
            await fs._modified(path)
            await fs._list_repos()

    with blockbuster_ctx("pyxet"):
        asyncio.run(everything())


# -- forks and spawned processes ---------------------------------------------------------------------------------------


def read_and_write(fs: XetFS, path: str, name: str) -> tuple[bool, bool]:
    fs.pipe_file(f"{path}{name}", CONTENT[1:])
    with fs.open(f"{path}{name}b", "wb") as file:
        file.write(b"x")
    with fs.transaction:
        fs.pipe_file(f"{path}{name}t", b"x")
    return fs.cat_file(path) == CONTENT, fs.cat_file(f"{path}{name}") == CONTENT[1:]


def test_a_forked_child_reads_and_writes(xet: XetFS, path: str) -> None:
    xet.cat_file(path)
    running, stop = threading.Event(), threading.Event()

    def go_on() -> None:
        while not stop.is_set():
            assert xet.cat_file(path) == CONTENT
            running.set()

    # The parent reads while it forks, so the child inherits locks, loops and sockets in the middle of something.
    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        running.wait()
        for number in range(3):
            assert in_child("fork", read_and_write, xet, path, str(number)) == (True, True)
    finally:
        stop.set()
        thread.join()
    assert xet.cat_file(path) == CONTENT
    xet.invalidate_cache()
    assert len(xet.find(path.rpartition("/")[0])) == 10


def test_a_fork_while_another_thread_holds_the_locks(xet: XetFS, path: str) -> None:
    ours = shared_client(Settings(xet.credential, xet._limits, xet._retry, xet._timeouts))
    modules = (client._lock, config._login_lock, local._lock, ALLOWANCE._lock)
    with held_by_a_thread(*modules, ours.catalog._lock, ours.revisions._lock):
        assert in_child("fork", with_new_instances, access_of(xet), path) == CONTENT
        assert in_child("fork", xet.cat_file, path) == CONTENT
        assert in_child("fork", xet.pipe_file, f"{path}2", b"x") is None


def access_of(fs: XetFS) -> dict[str, Any]:
    assert fs.credential.token is not None
    return account_of(fs)


def with_new_instances(options: dict[str, Any], path: str) -> bytes:
    with XetFS(**options).open(path) as file:
        return bytes(file.read(10) + file.read())


def read_on(file: Any) -> bytes:
    held = ALLOWANCE.in_use
    found = bytes(file.read(MIB))
    file.close()
    assert ALLOWANCE.in_use < held
    return found


def test_a_file_that_is_open_in_a_fork(xet: XetFS, path: str) -> None:
    with xet.open(path) as file:
        file.read(10)
        file.read(200_000)  # the next window is on its way
        assert in_child("fork", read_on, file) == CONTENT[200_010 : 200_010 + MIB]
        assert file.read() == CONTENT[200_010:]


def write_on(file: Any, fs: XetFS, path: str) -> None:
    with pytest.raises((RuntimeError, ValueError)):
        file.write(b"x" * 5 * MIB)
    with pytest.raises(TransactionError):
        fs.pipe_file(f"{path}child", b"x")


def test_a_transaction_stays_in_the_parent_of_a_fork(xet: XetFS, path: str) -> None:
    with xet.transaction, xet.open(f"{path}2", "wb") as file:
        file.write(b"x" * 3 * MIB)
        in_child("fork", write_on, file, xet, path)
    assert xet.cat_file(f"{path}2") == b"x" * 3 * MIB
    assert not xet.exists(f"{path}child")


def fork_of_a_fork(fs: XetFS, path: str) -> bool:
    assert fs.cat_file(path) == CONTENT
    return bool(in_child("fork", fs.cat_file, path) == CONTENT)


def test_a_fork_of_a_fork(xet: XetFS, path: str) -> None:
    assert in_child("fork", fork_of_a_fork, xet, path)


async def own_loop_in_child(fs: XetFS, path: str) -> bool:
    return await fs._cat_file(path) == CONTENT


def run_in_child(fs: XetFS, path: str) -> bool:
    return asyncio.run(own_loop_in_child(fs, path)) and fs.cat_file(path) == CONTENT


def test_a_child_with_a_loop_of_its_own(xet: XetFS, path: str) -> None:
    assert in_child("fork", run_in_child, xet, path)


def test_a_spawned_process_has_the_options(shared_endpoint: LocalEndpoint, path: str) -> None:
    fs = XetFS(**access(shared_endpoint), listings_expiry_time=7, limits=pyxet.Limits(concurrency=3))
    fs.info(path)
    assert in_child("spawn", describe, fs, path) == (shared_endpoint.url, 7, 3, True)


def describe(fs: XetFS, path: str) -> tuple[str, float, int, bool]:
    return fs.endpoint, fs._max_age, fs.limits.concurrency, fs.cat_file(path) == CONTENT


def test_pickling_keeps_options_and_never_sockets(
    shared_endpoint: LocalEndpoint, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fs = XetFS(**access(shared_endpoint))
    fs.info(path)
    assert pickle.loads(pickle.dumps(fs)) is fs
    asynchronous = AsyncXetFileSystem(**access(shared_endpoint), asynchronous=True)
    assert pickle.loads(pickle.dumps(asynchronous)) is asynchronous
    with fs.transaction as transaction, pytest.raises(TransactionError):
        pickle.dumps(transaction.fs)
    # The endpoint that came from a login or a variable goes along, the credential does not.
    monkeypatch.setenv("XET_ENDPOINT", "one.example")
    monkeypatch.setenv("XET_USER_TOKEN", "a-secret-token")
    found = XetFS()
    pickled = pickle.dumps(found)
    assert b"a-secret-token" not in pickled
    assert pickle.loads(pickled) is found
    monkeypatch.setenv("XET_ENDPOINT", "two.example")
    again = pickle.loads(pickled)
    assert (again.endpoint, again.credential.token) == ("https://one.example", None)


# -- the end of the interpreter ----------------------------------------------------------------------------------------

PROLOGUE = """
import asyncio, logging, os, sys, threading
import pyxet, fsspec
# The development mode of asyncio tells when a machine is slow, too.
logging.getLogger("asyncio").setLevel(logging.ERROR)
path = sys.argv[1]
fs = pyxet.XetFS()
afs = pyxet.AsyncXetFileSystem(asynchronous=True)
"""
ENDINGS = {
    "blocking calls": """
        assert fs.cat_file(path)
        fs.pipe_file(path + "1", b"x")
        fs.open(path + "2", "wb").close()
        file = fs.open(path); file.read(10); file.read(200_000)
        walk = fs.walk(path.rpartition("/")[0]); next(walk)
    """,
    "awaited calls, some left off": """
        async def main():
            async with afs as fs:
                await fs._cat_file(path)
                async with await fs.open_async(path) as file:
                    await file.read(10)
        async def other():
            global file, walk
            file = await afs.open_async(path)
            await file.read(10)
            await file.read(200_000)
            walk = afs._walk(path.rpartition("/")[0])
            await anext(walk)
        async def third():
            task = asyncio.create_task(afs._cat_file(path))
            await asyncio.sleep(0.01)
            task.cancel()
        asyncio.run(main())
        asyncio.run(other())
        asyncio.run(third())
    """,
    "without async with, on several loops": """
        asyncio.run(afs._cat_file(path))
        fs.cat_file(path)
        asyncio.run(fs._cat_file(path))
        loop = asyncio.new_event_loop()
        loop.run_until_complete(afs._cat_file(path))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
    """,
    "sys.exit": "fs.cat_file(path); sys.exit(0)",
    "sys.exit in a coroutine": """
        async def main():
            await afs._cat_file(path)
            sys.exit(0)
        asyncio.run(main())
    """,
    "exceptions": """
        async def main():
            await afs._cat_file(path)
            await afs._cat_file(path + "nope")
        for call in (lambda: asyncio.run(main()), lambda: fs.cat_file(path + "nope")):
            try:
                call()
            except FileNotFoundError:
                pass
    """,
    "threads": """
        def work():
            fs.cat_file(path)
            asyncio.run(afs._cat_file(path))
        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
    """,
    "a daemon in the middle of a read": """
        started = threading.Event()
        def work():
            while True:
                fs.cat_file(path)
                started.set()
        threading.Thread(target=work, daemon=True).start()
        started.wait()
    """,
    "a fork": """
        fs.cat_file(path)
        if (child := os.fork()) == 0:
            fs.cat_file(path)
            sys.exit(0)
        assert os.waitpid(child, 0)[1] == 0
        fs.cat_file(path)
    """,
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_interpreter_ends_quietly(shared_endpoint: LocalEndpoint, path: str, tmp_path: Path, ending: str) -> None:
    if "fork" in ending:
        need("fork")
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-W", "ignore:This process:DeprecationWarning", "-c", PROLOGUE + textwrap.dedent(ENDINGS[ending]), path],
        capture_output=True, text=True, timeout=60, check=False,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "XET_ENDPOINT": shared_endpoint.url,
             "XET_USER_NAME": shared_endpoint.user, "XET_USER_TOKEN": shared_endpoint.token},
    )  # fmt: skip
    assert (done.stderr, done.returncode) == ("", 0)
