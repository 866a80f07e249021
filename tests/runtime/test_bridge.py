"""Blocking calls over coroutines: every ending of one reaches the other, and what is cancelled leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from fsspec.asyn import get_loop
from fsspec.exceptions import FSTimeoutError
from support.faults import PLAN, UPLOAD, XORB, FaultProxy, check_clean, cut, silent
from support.proxied import proxied

import pyxet
from pyxet import NotFoundError, RequestTimeoutError, TransactionError
from pyxet._async.runtime.bridge import blocking_call, on_loop
from pyxet.testing import LocalEndpoint

MIB = 1024 * 1024
CONTENT = random.Random(__name__).randbytes(6 * MIB)


@pytest.fixture
def loop() -> asyncio.AbstractEventLoop:
    found: asyncio.AbstractEventLoop = get_loop()
    return found


def raising(error: BaseException) -> Any:
    async def run() -> None:
        raise error

    return run


# -- the bridge --------------------------------------------------------------------------------------------------------


async def double(number: int, *, plus: int = 0) -> int:
    await asyncio.sleep(0)
    return 2 * number + plus


def test_results_and_arguments(loop: asyncio.AbstractEventLoop) -> None:
    assert blocking_call(loop, double, 4) == 8
    assert blocking_call(loop, double, 4, plus=1, timeout=60) == 9


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("x"), ValueError),
        (asyncio.CancelledError(), asyncio.CancelledError),
        (KeyboardInterrupt(), KeyboardInterrupt),
        (SystemExit(3), SystemExit),
        (TimeoutError(), TimeoutError),
        (NotImplementedError("x"), NotImplementedError),
        (StopAsyncIteration(), StopAsyncIteration),
        (
            ExceptionGroup("several", [ExceptionGroup("inner", [FileNotFoundError("first")]), OSError()]),
            FileNotFoundError,
        ),
        (BaseExceptionGroup("several", [KeyboardInterrupt()]), KeyboardInterrupt),
    ],
)
def test_every_ending_of_the_coroutine_reaches_the_caller(
    loop: asyncio.AbstractEventLoop, error: BaseException, expected: type[BaseException]
) -> None:
    with pytest.raises(expected) as caught:
        blocking_call(loop, raising(error), timeout=60)
    assert type(caught.value) is expected


def test_an_error_keeps_its_traceback(loop: asyncio.AbstractEventLoop) -> None:
    with pytest.raises(ValueError) as caught:
        blocking_call(loop, raising(ValueError("x")))
    assert "run" in [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]


class Stuck:
    """A coroutine function that waits for ever and tells how it ends."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.ended = threading.Event()
        self.cancelled = False

    async def __call__(self) -> None:
        self.began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        finally:
            self.ended.set()


def test_a_time_out_cancels(loop: asyncio.AbstractEventLoop) -> None:
    stuck = Stuck()
    with pytest.raises(FSTimeoutError, match=r"0\.01 s"):
        blocking_call(loop, stuck, timeout=0.01)
    assert stuck.cancelled
    assert stuck.ended.is_set()


@pytest.mark.needs("signals")
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_a_signal_in_the_waiting_thread_cancels(loop: asyncio.AbstractEventLoop, error: type[BaseException]) -> None:
    stuck = Stuck()

    def handler(*_: object) -> None:
        raise error

    before = signal.signal(signal.SIGUSR1, handler)
    sender = threading.Thread(target=lambda: stuck.began.wait() and os.kill(os.getpid(), signal.SIGUSR1))
    try:
        sender.start()
        with pytest.raises(error):
            blocking_call(loop, stuck)
        assert stuck.cancelled
    finally:
        sender.join()
        signal.signal(signal.SIGUSR1, before)


def test_on_the_loop_itself_it_would_wait_for_ever(loop: asyncio.AbstractEventLoop) -> None:
    async def inner() -> None:
        blocking_call(loop, double, 1)

    with pytest.raises(RuntimeError, match="await the coroutine"):
        blocking_call(loop, inner)


async def test_inside_another_running_loop(loop: asyncio.AbstractEventLoop) -> None:
    assert blocking_call(loop, double, 1) == 2


def test_a_closed_loop() -> None:
    closed = asyncio.new_event_loop()
    closed.close()
    with pytest.raises(RuntimeError):
        blocking_call(closed, double, 1)

    async def elsewhere() -> None:
        with pytest.raises(RuntimeError, match="closed"):
            await on_loop(closed, double(1))

    asyncio.run(elsewhere())


async def test_awaiting_on_another_loop(loop: asyncio.AbstractEventLoop) -> None:
    assert await on_loop(loop, double(3)) == 6
    assert await on_loop(loop, running()) is loop
    with pytest.raises(ValueError):
        await on_loop(loop, raising(ValueError())())


async def running() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


async def test_a_cancellation_goes_to_the_other_loop_and_waits_there(loop: asyncio.AbstractEventLoop) -> None:
    stuck = Stuck()
    task = asyncio.create_task(on_loop(loop, stuck()))
    await asyncio.to_thread(stuck.began.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert stuck.ended.is_set()


# -- through the file system -------------------------------------------------------------------------------------------


def tasks_of(loop: asyncio.AbstractEventLoop) -> int:
    """Tasks on fsspec's loop, beside the one that counts."""

    async def count() -> int:
        # What a cancelled task told the loop to call is called.
        await asyncio.sleep(0)
        return len(asyncio.all_tasks()) - 1

    return blocking_call(loop, count)


@pytest.mark.parametrize(
    ("pattern", "call"),
    [
        (r"\w+ /api/", lambda fs, main, tmp: fs.info(f"{main}/x", timeout=0.1)),
        (r"\w+ /api/", lambda fs, main, tmp: list(fs.walk(main, timeout=0.1))),
        (PLAN, lambda fs, main, tmp: fs.cat_file(f"{main}/x", timeout=0.1)),
        (XORB, lambda fs, main, tmp: fs.cat([f"{main}/x"], timeout=0.1)),
        (XORB, lambda fs, main, tmp: fs.cat_ranges([f"{main}/x"], 0, 10, timeout=0.1)),
        (XORB, lambda fs, main, tmp: fs.get_file(f"{main}/x", tmp / "got", timeout=0.1)),
        (XORB, lambda fs, main, tmp: fs.get(main, str(tmp / "got"), recursive=True, timeout=0.1)),
        (UPLOAD, lambda fs, main, tmp: fs.pipe_file(f"{main}/y", CONTENT[1:], timeout=0.3)),
        (UPLOAD, lambda fs, main, tmp: fs.put_file(tmp / "local", f"{main}/y", timeout=0.3)),
        (UPLOAD, lambda fs, main, tmp: fs.put(str(tmp / "local"), f"{main}/y", timeout=0.3)),
        (r"POST /api/.*/commit/", lambda fs, main, tmp: fs.rm(f"{main}/x", timeout=0.1)),
    ],
)
def test_a_time_out_stops_everything(
    through: tuple[FaultProxy, pyxet.XetFS], xet: pyxet.XetFS, main: str, tmp_path: Path, pattern: str, call: Any
) -> None:
    proxy, fs = through
    (tmp_path / "local").write_bytes(CONTENT[2:])
    xet.pipe_file(f"{main}/x", CONTENT)
    before = xet.log(main)
    proxy.rule(pattern, silent())
    idle = tasks_of(fs.loop)
    with pytest.raises(FSTimeoutError):
        call(fs, main, tmp_path)
    # A task of the connection that was closed may still be on its way out.
    while tasks_of(fs.loop) > idle:
        pass
    assert not (tmp_path / "got" / "x").exists()
    assert not (tmp_path / "got").is_file()
    xet.invalidate_cache()
    assert xet.log(main) == before


def test_a_slow_endpoint_is_no_time_out_of_the_caller(shared_endpoint: LocalEndpoint, main: str) -> None:
    with proxied(shared_endpoint, timeouts={"response": 0.05, "connect": 0.05}, retry={"attempts": 1}) as (proxy, fs):
        proxy.rule(r"\w+ /api/", silent())
        with pytest.raises(RequestTimeoutError) as caught:
            fs.info(main, timeout=60)
    assert not isinstance(caught.value, FSTimeoutError)


@pytest.mark.parametrize("size", [1000, len(CONTENT)])
async def test_cancelled_tasks_leave_nothing(
    shared_endpoint: LocalEndpoint, main: str, tmp_path: Path, size: int
) -> None:
    # What is stored already would not be uploaded.
    (tmp_path / "local").write_bytes(os.urandom(size))
    with FaultProxy(shared_endpoint.url) as proxy:
        access = (proxy.url, shared_endpoint.user, shared_endpoint.token)
        fs = pyxet.AsyncXetFileSystem(*access, asynchronous=True, skip_instance_cache=True)
        async with fs:
            await fs._pipe_file(f"{main}/x", CONTENT)
            before = await fs._log(main)
            calls: list[tuple[str, Any, Coroutine[Any, Any, object]]] = [
                (XORB, cut(0.3, stall=True), fs._cat_file(f"{main}/x")),
                (XORB, cut(0.3, stall=True), fs._get_file(f"{main}/x", tmp_path / "got")),
                (PLAN, silent(), fs._cat_ranges([f"{main}/x"] * 3, [0, 2 * MIB, 4 * MIB], [9, 3 * MIB, 5 * MIB])),
                (r"POST /api/.*/preupload|" + UPLOAD, silent(), fs._put_file(tmp_path / "local", f"{main}/y")),
                (r"POST /api/.*/commit/", silent(), fs._put(str(tmp_path / "local"), f"{main}/z")),
            ]
            for pattern, act, call in calls:
                proxy.clear()
                # Of several requests of the last call, we waited for one.
                while proxy._arrived.acquire(blocking=False):
                    pass
                proxy.rule(pattern, act)
                task = asyncio.create_task(call)
                await proxy.arrival()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            proxy.clear()
            fs.invalidate_cache()
            assert await fs._log(main) == before
        while len(asyncio.all_tasks()) > 1:
            await asyncio.sleep(0)
        await check_clean()
    assert not (tmp_path / "got").exists()


def test_an_error_inside_a_group_reaches_the_caller_as_it_is(xet: pyxet.XetFS, main: str, tmp_path: Path) -> None:
    xet.pipe_file(f"{main}/x", b"x")
    with pytest.raises(NotFoundError):
        xet.get([f"{main}/x", f"{main}/nope"], [str(tmp_path / "x"), str(tmp_path / "y")])
    with pytest.raises(FileNotFoundError):
        xet.put([str(tmp_path / "nope")], [f"{main}/y"])


async def test_a_blocking_call_inside_an_asynchronous_transaction(xet: pyxet.XetFS, main: str) -> None:
    async with xet.transaction:
        await xet._pipe_file(f"{main}/x", b"x")
        with pytest.raises(TransactionError, match="await"):
            xet.exists(f"{main}/x")
        with pytest.raises(TransactionError, match="await"):
            xet.open(f"{main}/x")
        # On another thread nothing is blocked; the context goes with it.
        assert await asyncio.to_thread(xet.cat, f"{main}/x") == b"x"
    assert xet.cat(f"{main}/x") == b"x"


# -- Ctrl-C ------------------------------------------------------------------------------------------------------------

INTERRUPTED = """
import asyncio, logging, os, signal, sys, threading
import pyxet
from fsspec.callbacks import Callback

# How long the steps of a transfer take, which `-X dev` looks at, depends on the machine.
logging.getLogger("asyncio").setLevel(logging.ERROR)

class Stop(Callback):
    sent = False
    def relative_update(self, inc=1):
        super().relative_update(inc)
        if self.value >= {after} and not self.sent:
            self.sent = True
            os.kill(os.getpid(), signal.SIGINT)
    def branched(self, *args, **kwargs):
        return self

fs = pyxet.XetFS()
afs = pyxet.AsyncXetFileSystem(asynchronous=True)
try:
    {call}
except KeyboardInterrupt:
    print("interrupted", flush=True)
    {then}
else:
    print("completed", flush=True)
"""


@pytest.mark.needs("signals")
@pytest.mark.parametrize(
    "call",
    [
        "fs.put_file(sys.argv[1], sys.argv[2] + '/y', callback=Stop())",
        "fs.put(sys.argv[1], sys.argv[2] + '/y', callback=Stop())",
        "fs.get_file(sys.argv[2] + '/x', sys.argv[1] + '.got', callback=Stop())",
        "fs.get(sys.argv[2] + '/x', sys.argv[1] + '.got', callback=Stop())",
        "asyncio.run(afs._put_file(sys.argv[1], sys.argv[2] + '/y', callback=Stop()))",
        "asyncio.run(afs._get_file(sys.argv[2] + '/x', sys.argv[1] + '.got', callback=Stop()))",
    ],
)
def test_ctrl_c_stops_a_transfer(
    shared_endpoint: LocalEndpoint, xet: pyxet.XetFS, main: str, tmp_path: Path, call: str
) -> None:
    local = tmp_path / "local"
    local.write_bytes(CONTENT * 12)
    xet.put_file(local, f"{main}/x")
    before = xet.log(main)
    if "put" in call:
        with local.open("ab") as file:
            file.write(os.urandom(64 * MIB))
    # The file system goes on to work after it.
    code = INTERRUPTED.format(
        after=MIB, call=call, then="print(fs.exists(sys.argv[2] + '/x'), fs.exists(sys.argv[2] + '/y'))"
    )
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", code, str(local), main],
        capture_output=True, text=True, timeout=60, check=False,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "XET_ENDPOINT": shared_endpoint.url,
             "XET_USER_NAME": shared_endpoint.user, "XET_USER_TOKEN": shared_endpoint.token},
    )  # fmt: skip
    assert (done.stdout.splitlines(), done.stderr, done.returncode) == (["interrupted", "True False"], "", 0)
    assert not (tmp_path / "local.got").exists()
    xet.invalidate_cache()
    assert xet.log(main) == before
