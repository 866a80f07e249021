"""Who runs the batches: this process, dask, or ray. Theirs is what becomes of a batch whose worker died."""

from __future__ import annotations

import asyncio
import concurrent.futures
import importlib
from abc import ABC, abstractmethod
from collections.abc import Collection
from contextlib import ExitStack
from typing import Any, Final, Literal

from pyxet._async.runtime.tasks import stopped
from pyxet.errors import ConfigError
from pyxet.fs import XetFS
from pyxet.ingestion.copying import Copied, Copier
from pyxet.ingestion.plan import Batch

EngineName = Literal["local", "dask", "ray"]

# Batches that are under way for each that can run: the next one is there when one ends.
_AHEAD: Final = 2
# Batches that this process works on at once: while one waits for its last bytes to be stored, others go on.
_LOCAL: Final = 3
# How often ray runs a batch again whose worker died; dask's default is the same (``distributed.scheduler.allowed-failures``).
_DEATHS: Final = 3


class WorkersDiedError(Exception):
    """Worker after worker died of a batch."""


class Engine(ABC):
    """Runs batches; what it gives for one that is submitted is its own, and only compared.

    Making one only looks whether it can be had; `start` is for when there is something to do.
    """

    @abstractmethod
    def start(self) -> None:
        """Get ready for the first batch."""

    @abstractmethod
    def submit(self, batch: Batch) -> Any:
        """Begin a batch."""

    @abstractmethod
    def wait(self, handles: Collection[Any]) -> Collection[Any]:
        """Wait until at least one batch has ended; those that have."""

    @abstractmethod
    def result(self, handle: Any) -> Copied:
        """The result of a batch that has ended, or its error; `WorkersDiedError` if there is none, try as it may."""

    @property
    @abstractmethod
    def capacity(self) -> int:
        """How many batches to have under way, as things are now."""

    @abstractmethod
    def close(self, handles: Collection[Any]) -> None:
        """Let go of everything, and cancel what is still under way where that can be done."""


class LocalEngine(Engine):
    """The calling process, on the event loop of its file systems."""

    def __init__(self, copier: Copier, fs: XetFS) -> None:
        self._copier = copier
        self._fs = fs
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self) -> None:
        pass

    @property
    def capacity(self) -> int:
        return _LOCAL

    def submit(self, batch: Batch) -> concurrent.futures.Future[Copied]:
        return asyncio.run_coroutine_threadsafe(self._copy(batch), self._fs.loop)

    async def _copy(self, batch: Batch) -> Copied:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            return await self._copier.copy(batch)
        finally:
            self._tasks.discard(task)

    def wait(self, handles: Collection[Any]) -> Collection[Any]:
        return concurrent.futures.wait(handles, return_when=concurrent.futures.FIRST_COMPLETED).done

    def result(self, handle: concurrent.futures.Future[Copied]) -> Copied:
        return handle.result()

    def close(self, handles: Collection[Any]) -> None:
        async def stop() -> None:
            await stopped(*self._tasks)

        self._fs._block_on(stop)


class DaskEngine(Engine):
    """A dask cluster.

    Parameters
    ----------
    client:
        A ``distributed.Client``, or the address of a scheduler; the current client if ``None``, or else a cluster on this
        machine for as long as the ingest takes.
    """

    def __init__(self, copier: Copier, client: Any) -> None:
        self._distributed = _package("distributed", "dask")
        self._opened = ExitStack()
        self._client = client
        self._copier = copier

    def start(self) -> None:
        distributed, opened = self._distributed, self._opened.enter_context
        if self._client is None:
            try:
                self._client = distributed.get_client()
            except ValueError:
                # It would close a worker for good that is being started again, perhaps for the third time, 15 seconds after
                # it was lost for the first time; and without workers we would wait for ever.
                opened(_package("dask", "dask").config.set({"distributed.deploy.lost-worker-timeout": "10 minutes"}))
                # The usual port of its web page is that of `xet serve`, and it warns where that is taken.
                cluster = opened(distributed.LocalCluster(dashboard_address=":0"))
                self._client = opened(distributed.Client(cluster))
        elif isinstance(self._client, str):
            self._client = opened(distributed.Client(self._client))

    @property
    def capacity(self) -> int:
        # Clusters grow and shrink.
        threads: int = sum(self._client.nthreads().values())
        return _AHEAD * max(1, threads)

    def submit(self, batch: Batch) -> Any:
        return self._client.submit(self._copier, batch, key=None, pure=False)

    def wait(self, handles: Collection[Any]) -> Collection[Any]:
        done: Collection[Any] = self._distributed.wait(list(handles), return_when="FIRST_COMPLETED").done
        return done

    def result(self, handle: Any) -> Copied:
        try:
            copied: Copied = handle.result()
        except self._distributed.KilledWorker as error:
            raise WorkersDiedError(str(error)) from error
        finally:
            handle.release()
        return copied

    def close(self, handles: Collection[Any]) -> None:
        try:
            if handles:
                self._client.cancel(list(handles), force=True)
        finally:
            self._opened.close()


class RayEngine(Engine):
    """The ray cluster that this process is connected to, or one on this machine for as long as the ingest takes."""

    def __init__(self, copier: Copier, client: Any) -> None:
        self._ray = _package("ray", "ray")
        self._address = client
        self._copier: Any = copier
        self._run: Any = None
        self._is_ours = False
        if client is not None and self._ray.is_initialized():
            raise ConfigError("ray is connected already, so no other address can be given")

    def start(self) -> None:
        if not self._ray.is_initialized():
            self._ray.init(address=self._address, log_to_driver=False)
            self._is_ours = True
        self._run = self._ray.remote(max_retries=_DEATHS, num_cpus=1)(_run)
        self._copier = self._ray.put(self._copier)

    @property
    def capacity(self) -> int:
        return _AHEAD * max(1, int(self._ray.cluster_resources().get("CPU", 1)))

    def submit(self, batch: Batch) -> Any:
        return self._run.remote(self._copier, batch)

    def wait(self, handles: Collection[Any]) -> Collection[Any]:
        done: Collection[Any] = self._ray.wait(list(handles), num_returns=1)[0]
        return done

    def result(self, handle: Any) -> Copied:
        exceptions = self._ray.exceptions
        try:
            copied: Copied = self._ray.get(handle)
        except exceptions.RayTaskError as error:
            # Ours, as it was raised in the worker.
            raise error.cause from error
        except exceptions.RayError as error:
            raise WorkersDiedError(str(error)) from error
        return copied

    def close(self, handles: Collection[Any]) -> None:
        # In a cluster that is not ours, what was handed out runs to its end: ray (2.60, say) aborts this whole process where
        # a task that it is told to cancel ends at the same moment.
        for handle in handles:
            # That it may fail as well is no news, which ray would print if nobody took it.
            handle.future()
        if self._is_ours:
            self._ray.shutdown()


def _package(name: str, extra: str) -> Any:
    """A package that only some engine needs."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(f'engine="{extra}" needs {name}: pip install "pyxet[{extra}]"') from error


def _run(copier: Copier, batch: Batch) -> Copied:
    return copier(batch)


def engine_of(name: EngineName, copier: Copier, fs: XetFS, client: Any) -> Engine:
    """An engine by its name.

    Raises
    ------
    ConfigError
        There is none of that name, its package is not installed, or ``client`` is not for it.
    """
    match name:
        case "dask":
            return DaskEngine(copier, client)
        case "ray":
            return RayEngine(copier, client)
        case "local":
            if client is not None:
                raise ConfigError('client is for engine="dask" and engine="ray"')
            return LocalEngine(copier, fs)
    raise ConfigError(f"engine={name!r}: expected 'local', 'dask' or 'ray'")
