"""Writes that are cancelled, interrupted or take too long publish nothing and leave nothing behind."""

# what has to raise, or to warn, is the end of a block

from __future__ import annotations

import asyncio
import os
import signal
import threading
from pathlib import Path

import fsspec
import pytest
from support.faults import UPLOAD, FaultProxy, check_clean, gated
from support.proxied import asynchronous, proxied

import pyxet
from pyxet.testing import LocalEndpoint

pytestmark = pytest.mark.usefixtures("nothing_left_behind")

MIB = 1024 * 1024


@pytest.mark.parametrize("what", ["small", "large", "commit"])
async def test_a_cancelled_put_leaves_nothing(
    shared_endpoint: LocalEndpoint, main: str, tmp_path: Path, what: str
) -> None:
    for number in range(20):
        (tmp_path / f"{number}").write_bytes(os.urandom(2 * MIB if what == "large" else 1000))
    stop_at = {"small": "POST .*/preupload/", "large": UPLOAD, "commit": "POST .*/commit/"}[what]
    with FaultProxy(shared_endpoint.url) as proxy:
        proxy.rule(stop_at, gated())
        async with asynchronous(shared_endpoint, proxy, limits=pyxet.Limits(memory=16 * MIB)) as fs:
            putting = asyncio.create_task(fs._put(f"{tmp_path}/", f"{main}/", recursive=True))
            await proxy.arrival()
            putting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await putting
            await check_clean()
            proxy.open_gate()
            assert await fs._find(main) == []


async def test_a_cancelled_pipe_of_large_content(shared_endpoint: LocalEndpoint, main: str) -> None:
    with FaultProxy(shared_endpoint.url) as proxy:
        proxy.rule("GET /v1/chunks/", gated())
        async with asynchronous(shared_endpoint, proxy) as fs:
            piping = asyncio.create_task(fs._pipe_file(f"{main}/a", os.urandom(8 * MIB)))
            await proxy.arrival()
            piping.cancel()
            with pytest.raises(asyncio.CancelledError):
                await piping
            await check_clean()
            proxy.open_gate()
            assert await fs._find(main) == []


def test_a_cancelled_write_does_not_take_others_of_the_transaction_along(
    shared_endpoint: LocalEndpoint, main: str
) -> None:
    with FaultProxy(shared_endpoint.url) as proxy:

        async def run() -> None:
            async with asynchronous(shared_endpoint, proxy) as fs:
                async with fs.transaction as tr:
                    for number in range(255):
                        await fs._pipe_file(f"{main}/{number}", b"%d" % number)
                    proxy.rule("POST .*/preupload/", gated(), times=1)
                    last = asyncio.create_task(fs._pipe_file(f"{main}/255", b"255"))
                    await proxy.arrival()
                    last.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await last
                    proxy.open_gate()
                assert len(tr.commits) == 1
                found = await fs._cat([f"{main}/{number}" for number in range(255)])
                assert found == {f"{main}/{number}": b"%d" % number for number in range(255)}

        asyncio.run(run())


def test_a_timed_out_call_publishes_nothing(shared_endpoint: LocalEndpoint, xet: pyxet.XetFS, main: str) -> None:
    with proxied(shared_endpoint) as (proxy, fs):
        # Before the commit: one that is on its way is the endpoint's to make or not.
        proxy.rule("POST .*/preupload/", gated())
        with pytest.raises(fsspec.exceptions.FSTimeoutError):
            fs.pipe(f"{main}/a", b"a", timeout=0.3)
        proxy.open_gate()
    assert xet.find(main) == []


@pytest.mark.needs("signals")
def test_interrupted_in_the_middle(shared_endpoint: LocalEndpoint, xet: pyxet.XetFS, main: str) -> None:
    with proxied(shared_endpoint) as (proxy, fs):
        proxy.rule(UPLOAD, gated())

        def interrupt() -> None:
            asyncio.run(proxy.arrival())
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

        helper = threading.Thread(target=interrupt)
        helper.start()
        with pytest.raises(KeyboardInterrupt), fs.transaction as tr:
            fs.pipe({f"{main}/{number}": os.urandom(MIB) for number in range(5)})
        helper.join()
        assert tr.commits == ()
        proxy.open_gate()
    assert xet.find(main) == []
