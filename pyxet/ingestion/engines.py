"""Runs batches in this process, in dask or in ray. dask and ray themselves repeat batches whose worker has died."""

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

# Submitted batches for each batch that can run, so that the next batch is there when one ends.
_AHEAD: Final = 2
# Batches that this process copies at once: while one waits for its last bytes to be stored, the others continue.
_LOCAL: Final = 3
# How often ray repeats a batch whose worker has died; dask's default is the same (``distributed.scheduler.allowed-failures``).
_DEATHS: Final = 3


class WorkersDiedError(Exception):
    """A batch was given up because the worker died each time it was tried."""


class Engine(ABC):
    """Runs batches. The handle of a submitted batch can be of any type; callers only compare handles.

    The constructor only checks that the engine can be used. `start` is called when there is something to do.
    """

    @abstractmethod
    def start(self) -> None:
        """Get ready for the first batch."""

    @abstractmethod
    def submit(self, batch: Batch) -> Any:
        """Submit a batch, and return its handle."""

    @abstractmethod
    def wait(self, handles: Collection[Any]) -> Collection[Any]:
        """Wait until at least one batch has ended, and return the handles of those that have."""

    @abstractmethod
    def result(self, handle: Any) -> Copied:
        """Return the result of a batch that has ended, or raise its error; `WorkersDiedError` if its workers died."""

    @property
    @abstractmethod
    def capacity(self) -> int:
        """Number of batches that should be submitted at the same time, at present."""

    @abstractmethod
    def close(self, handles: Collection[Any]) -> None:
        """Release everything, and cancel running batches if the engine can do that."""


class LocalEngine(Engine):
    """Runs batches in the calling process, on the event loop of its file system."""

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
    """Runs batches in a dask cluster.

    Parameters
    ----------
    client:
        A ``distributed.Client``, or the address of a scheduler; the current client if ``None``, or else a cluster on this
        machine that is stopped after the ingest.
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
                # By default, the cluster removes a worker for good 15 seconds after it was lost for the first time, even
                # if the worker is just being restarted. Without workers, we would wait for ever.
                opened(_package("dask", "dask").config.set({"distributed.deploy.lost-worker-timeout": "10 minutes"}))
                # The default port of its dashboard is also that of `xet serve`, and it warns if the port is taken.
                cluster = opened(distributed.LocalCluster(dashboard_address=":0"))
                self._client = opened(distributed.Client(cluster))
        elif isinstance(self._client, str):
            self._client = opened(distributed.Client(self._client))

    @property
    def capacity(self) -> int:
        # Counted each time, because clusters grow and shrink.
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
    """Runs batches in the connected ray cluster, or in one on this machine that is stopped after the ingest."""

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
            # Raise our own error, as it was raised in the worker.
            raise error.cause from error
        except exceptions.RayError as error:
            raise WorkersDiedError(str(error)) from error
        return copied

    def close(self, handles: Collection[Any]) -> None:
        # In a cluster that is not ours, submitted batches run to their end: ray (2.60, for example) aborts this whole process
        # if a task ends at the moment when it is cancelled.
        for handle in handles:
            # Retrieves the result, because ray prints the errors that nobody has retrieved.
            handle.future()
        if self._is_ours:
            self._ray.shutdown()


def _package(name: str, extra: str) -> Any:
    """Import a package that only one engine needs."""
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
        There is no such engine, its package is not installed, or it does not accept ``client``.
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
