"""The base of all parts of the file system: endpoint and user, the form of paths, and the loops on which calls run."""

from __future__ import annotations

import asyncio
import inspect
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, Unpack

from fsspec.asyn import AsyncFileSystem

from pyxet import config
from pyxet._async.changes.edits import Edits
from pyxet._async.changes.guards import check_parent_commit
from pyxet._async.changes.members import is_native_thread
from pyxet._async.changes.membership import Membership
from pyxet._async.changes.transaction import Transaction, members
from pyxet._async.changes.view import View
from pyxet._async.fs.calls import explaining
from pyxet._async.fs.instances import ConfiguredFromOutside, Further, Ignored, ReadingDefaults, option_of
from pyxet._async.fs.names import before_magic
from pyxet._async.fs.paths import EndpointInURL, as_text, same_endpoint, without_protocol
from pyxet._async.runtime.bridge import blocking_call, get_loop
from pyxet._traces import readable
from pyxet.config import Credential, Limits, RetryPolicy, Timeouts, TokenFunction
from pyxet.errors import NotSupportedError, TransactionError, XetURLError
from pyxet.options import public, refuse
from pyxet.secrets import Secret
from pyxet.types import RepoId
from pyxet.urls import SCHEME, XetURL, endpoint_name
from pyxet.watching import COUNTS, Metrics

if TYPE_CHECKING:
    from pyxet._async.client import Client

T = TypeVar("T")
F = TypeVar("F", bound="FileSystemBase")

DEFAULT_EXPIRY: Final = 1.0


class FileSystemBase(AsyncFileSystem, metaclass=ConfiguredFromOutside):  # type: ignore[misc]  # fsspec is not typed
    """See `AsyncXetFileSystem`."""

    protocol = SCHEME
    root_marker = ""
    # Keeps fsspec from adding blocking methods; `XetFS` defines its own.
    mirror_sync_methods = False
    _extra_tokenize_attributes = ("surroundings",)

    def __init__(
        self,
        endpoint: str | None = None,
        user: str | None = None,
        token: str | Secret | TokenFunction | None = None,
        *,
        listings_expiry_time: float | None = DEFAULT_EXPIRY,
        limits: Limits | Mapping[str, Any] | None = None,
        retry: RetryPolicy | Mapping[str, Any] | None = None,
        timeouts: Timeouts | Mapping[str, Any] | None = None,
        use_listings_cache: bool = True,
        block_size: int | None = None,
        cache_type: str | None = None,
        cache_options: dict[str, Any] | None = None,
        asynchronous: bool = False,
        loop: asyncio.AbstractEventLoop | None = None,
        **storage_options: Unpack[Further],
    ) -> None:
        self._transaction_id: str | None = storage_options.pop("transaction_id", None)
        if unknown := storage_options.keys() - Ignored.__optional_keys__:
            refuse(type(self).__name__, sorted(unknown), _OPTIONS)
        super().__init__(asynchronous=asynchronous, loop=loop, **storage_options)
        self.endpoint = config.resolve_endpoint(endpoint)
        self._max_age = DEFAULT_EXPIRY if listings_expiry_time is None else listings_expiry_time
        if not use_listings_cache:
            self._max_age = 0.0
        self._reading: Final = ReadingDefaults(block_size, cache_type, cache_options)
        self._given_loop = loop
        # Paths of empty folders that were made by URL, see `Editing._mkdir`: git stores no empty folders.
        self._made_folders: dict[str, None] = {}
        self._made_in: Membership | None = None
        # For an embedded endpoint, the credential names the directory: the process that serves it, and its URL, may change.
        self.credential: Credential = (
            Credential(config.embedded_root(self.endpoint).resolve().as_uri())
            if config.is_embedded(self.endpoint)
            else config.resolve_credential(self.endpoint, user=user, token=token)
        )
        self._limits = option_of(Limits, limits)
        self._retry = option_of(RetryPolicy, retry)
        self._timeouts = option_of(Timeouts, timeouts)
        self._known_client: tuple[Credential, Client | None] = (self.credential, None)
        if asynchronous:
            _prepare()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.endpoint}>"

    def __reduce__(self) -> Any:
        if self._transaction_id is not None:
            raise TransactionError(
                "the file system of a transaction cannot be pickled: transactions stay in their process"
            )
        if self._given_loop is not None:
            raise TypeError("a file system with a loop of its own cannot be pickled: loops stay in their process")
        return _rebuilt, (type(self), self.storage_args, self.storage_options, self.endpoint)

    @public()
    def to_dict(self, *, include_password: bool = True) -> dict[str, Any]:
        """Return the class and options, for `from_dict` and JSON; the token only with ``include_password``.

        Returns
        -------
        dict
            Values that JSON can represent.
        """
        options = {
            name: asdict(value) if isinstance(value, (Limits, RetryPolicy, Timeouts)) else value
            for name, value in self.storage_options.items()
        }
        args = list(self.storage_args)
        if not include_password:
            options.pop("token", None)
            args = args[:2]
        kind = type(self)
        return {"cls": f"{kind.__module__}:{kind.__name__}", "protocol": SCHEME, "args": args, **options}

    # -- endpoint and credential ---------------------------------------------------------------------------------------

    @property
    def fsid(self) -> str:
        """The endpoint, as an identity across processes."""
        return f"{SCHEME}:{self.endpoint}"

    async def _connect(self) -> Client:
        """Return the client. Raises `ConfigError` if called by the ``token=`` function whose token the client waits for."""
        client = self._client()
        client.transport.place.check_caller()
        return client

    def _client(self) -> Client:
        credential, client = self._known_client
        # The client is cached here because `shared_client` hashes all settings.
        if client is None or not client.is_usable or credential is not self.credential:
            from pyxet._async.client import Settings, shared_client

            client = shared_client(Settings(self.credential, self._limits, self._retry, self._timeouts))
            self._known_client = (self.credential, client)
        return client

    @property
    def limits(self) -> Limits:
        """The bounds of memory and concurrency that this file system keeps to."""
        return self._limits

    @public()
    def metrics(self) -> Metrics:
        """Return the counts of requests, bytes, retries, waits and cache hits, of all file systems of this process together.

        Returns
        -------
        Metrics
            The present counts, immutable. The difference of two counts what happened in between.
        """
        return COUNTS.metrics()

    # -- loops ---------------------------------------------------------------------------------------------------------

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that runs blocking calls: the given one, or fsspec's, which has a thread; in a fork, always fsspec's.

        Raises
        ------
        RuntimeError
            The file system is asynchronous: its coroutines run where they are awaited.
        """
        if self.asynchronous:
            raise RuntimeError(
                "this file system is asynchronous: await its _methods, or use one without asynchronous=True"
            )
        if self._given_loop is not None and self._pid == os.getpid():
            return self._given_loop
        loop: asyncio.AbstractEventLoop = get_loop()
        return loop

    def _block_on(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any, **kwargs: Any) -> T:
        """Run a coroutine function of this file system for a blocking caller, see `blocking_call`."""
        _prepare()
        transaction = self._open_transaction()
        if transaction is not None and transaction.loop is _loop_of_this_thread():
            raise TransactionError(
                "a blocking call inside an asynchronous transaction would wait for the loop it blocks; await the _method"
            )
        if transaction is None and self._made_in is not None and is_native_thread():
            with members.taking_part(self._made_in):
                return self._bridged(function, *args, **kwargs)
        with members.calling():
            return self._bridged(function, *args, **kwargs)

    def _bridged(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any, **kwargs: Any) -> T:
        result: T = blocking_call(self.loop, explaining, self, function, *args, **kwargs)
        return result

    async def set_session(self) -> Client:
        """Return the client for the endpoint; no request is sent. Other asynchronous file systems have a method of this name.

        Returns
        -------
        Client
            The client; instances with the same endpoint, credential and settings share it.

        Raises
        ------
        XetError
            The ``token=`` function calls this method while the client waits for its token.
        """
        return await self._connect()

    async def __aenter__(self) -> Self:
        (await self._connect()).acquire()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await (await self._connect()).release()

    # -- paths ---------------------------------------------------------------------------------------------------------

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        """Return the normal form of a path: without scheme, endpoint, ``models/``, and slashes at its ends."""
        if isinstance(path, list):
            return [cls._strip_protocol(item) for item in path]
        return without_protocol(path)

    @public()
    def unstrip_protocol(self, name: str) -> str:
        """Return the URL of a path, with the endpoint unless that is the default or an embedded one.

        Returns
        -------
        str
            A URL that begins with ``xet://``.
        """
        path = self._strip_protocol(name)
        if self.endpoint == config.DEFAULT_ENDPOINT or config.is_embedded(self.endpoint):
            return f"{SCHEME}://{path}"
        return f"{SCHEME}://{endpoint_name(self.endpoint)}:{path}"

    @classmethod
    def from_url(cls, url: str, **options: Any) -> Self:
        """Make a file system for the endpoint that a URL names, or for the default one.

        Parameters
        ----------
        url:
            ``xet://[endpoint:]owner/repo/branch/path``; only its endpoint is used.
        options:
            Further arguments of the constructor.

        Returns
        -------
        AsyncXetFileSystem
            An instance of this class.

        Raises
        ------
        XetURLError
            The URL does not follow this grammar.
        """
        XetURL.parse(url)
        found: Self = cls(**cls._get_kwargs_from_urls(url) | options)
        return found

    @staticmethod
    def _get_kwargs_from_urls(path: str) -> dict[str, str]:
        """The endpoint that a URL names, as an argument of the constructor."""
        first = path.partition("://")[2].partition("/")[0]
        if first.rpartition(":")[2].isdigit():
            # The colon after the endpoint is missing: its port would be parsed as an owner.
            try:
                XetURL.parse(path)
            except XetURLError as error:
                readable(error)
                raise
        return {"endpoint": EndpointInURL(first.rpartition(":")[0])} if ":" in first else {}

    def _parse(self, path: str | os.PathLike[str]) -> XetURL:
        """Parse a path or URL of this file system.

        Raises
        ------
        XetURLError
            The path does not follow the grammar, or names another endpoint.
        NotSupportedError
            The path is in a bucket.
        """
        text = as_text(path)
        url = XetURL.parse(text)
        if url.endpoint is not None and not same_endpoint(url.endpoint, self.endpoint):
            raise XetURLError(f"{text!r} is at another endpoint than this file system, which is at {self.endpoint}")
        if url.kind == "buckets":
            raise NotSupportedError(
                f"{text!r}: buckets are not supported yet; use a model, dataset or space repository"
            )
        return url

    def _normalized(self, path: Any) -> Any:
        """Check that paths are of this file system, and return their normal form. Raises like `_parse`.

        For a pattern, only the part before the first wildcard is checked.
        """
        if isinstance(path, (list, tuple)):
            return [self._normalized(item) for item in path]
        self._parse(before_magic(as_text(path)))
        return self._strip_protocol(path)

    def _parse_file(self, path: str | os.PathLike[str]) -> tuple[XetURL, RepoId, str]:
        """Parse a path inside a branch: returns the URL, its repository and its revision. Raises like `_parse`."""
        url = self._parse(path)
        repo = url.repo_id
        if repo is None or url.revision is None or not url.path:
            error = XetURLError(f"{str(path)!r} is not the path of a file; expected owner/repo/branch/path")
            error.about = (repo, url.revision) if repo is not None else None
            raise error
        return url, repo, url.revision

    def _parse_repo(self, path: str) -> tuple[XetURL, RepoId]:
        url = self._parse(path)
        if url.repo_id is None or url.level != "repo":
            raise XetURLError(f"{path!r} is not the path of a repository; expected owner/repo or datasets/owner/repo")
        return url, url.repo_id

    # -- views and edits -----------------------------------------------------------------------------------------------

    def _open_transaction(self) -> Transaction | None:
        """The transaction that this call takes part in: the one the file system is bound to, or the caller's."""
        if self._transaction_id is not None:
            return members.bound(self._transaction_id)
        return members.current(self.credential)

    def _transaction_to_write_in(self) -> Transaction | None:
        """Like `_open_transaction`, for writing. Raises `TransactionError` if the caller may not write, see `Members`."""
        members.check_writer(self.credential)
        transaction = self._open_transaction()
        if transaction is None:
            self._check_outside()
        return transaction

    def _check_outside(self) -> None:
        """Check a write outside of transactions: raise `TransactionError` if it must be a mistake, warn if it may be one."""
        members.check_outside(self.credential)
        members.warn_outsider(self, self._made_in)

    async def _view(self, repo: RepoId, revision: str) -> View:
        """Return a revision as this caller sees it: its commit, with the pending changes of the caller's transaction."""
        client = await self._connect()
        transaction = self._open_transaction()
        changes = transaction.edits.pending(repo, revision) if transaction else None
        commit = changes.base if changes else await client.trees.resolve(repo, revision, self._max_age)
        return View(client.trees, repo, commit, changes, revision=revision)

    def _base(self, repo: RepoId, revision: str) -> str | None:
        """The commit that the transaction's changes to a branch are based on; ``None`` if there are none."""
        transaction = self._open_transaction()
        changes = transaction.edits.pending(repo, revision) if transaction else None
        return changes.base if changes else None

    async def _newer_view(self, view: View, revision: str) -> View | None:
        """Return a view of the same revision at its present commit, or ``None`` if the given view is of that commit.

        Used before an error reports that a path does not exist. The present commit is requested from the endpoint, unless
        the current call has already requested it.
        """
        commit = await (await self._connect()).trees.newest(view.repo, revision, view.commit)
        return view.at(commit) if commit != view.commit else None

    async def _new_edits(self, parent_commit: str | None = None, pull_request: bool = False) -> Edits:
        """Return new edits without changes."""
        return Edits(await self._connect(), parent_commit, propose=pull_request)

    @asynccontextmanager
    async def _edits(
        self,
        message: str | None = None,
        parent_commit: str | None = None,
        pull_request: bool = False,
        *,
        many: bool = False,
    ) -> AsyncIterator[Edits]:
        """The edits of the caller's transaction; without one, edits that are committed or proposed at the end of the block.

        In a transaction, the caller has to turn ``parent_commit`` into guards of its paths, see `Edits.since`.

        Parameters
        ----------
        many:
            Whether the block may change several paths, one after the other. If it raises, a transaction keeps none of them.
        """
        check_parent_commit(parent_commit)
        transaction = self._transaction_to_write_in()
        if transaction is not None:
            transaction.check_proposing(pull_request)
            if not many:
                yield transaction.edits
                transaction.note_message(message)
                return
            part = transaction.edits.nested()
            try:
                yield part
                await part.commit(message)
            finally:
                await part.discard()
            transaction.note_message(message)
            return
        own = await self._new_edits(parent_commit, pull_request)
        try:
            yield own
            await own.commit(message)
        finally:
            await own.discard()

    def _bound_to(self, identity: str) -> Self:
        """A file system like this one that takes part in a transaction on any thread."""
        options = self.storage_options | {"transaction_id": identity, "skip_instance_cache": True}
        bound = type(self)(*self.storage_args, **options)
        # The values of this instance, as the environment may have changed.
        bound.endpoint, bound.credential = self.endpoint, self.credential
        return bound

    @property
    def _is_bound(self) -> bool:
        """Whether this is ``tr.fs`` of a transaction."""
        return self._transaction_id is not None

    def _insider(self, made_in: Membership) -> Self:
        """A file system that equals this one and was made inside a transaction.

        Libraries that make one from a URL hand it to threads of their own, which Python did not start. Those threads take
        part in the transaction as well. On all other threads it behaves like this file system.
        """
        made = object.__new__(type(self))
        made.__dict__.update(self.__dict__)
        made._made_in = made_in
        return made

    @public()
    def invalidate_cache(self, path: str | None = None) -> None:
        """Drop the cached commits of branches, in one repository or in all; without ``path``, drop cached listings as well."""
        client = self._client()
        client.trees.invalidate_revisions(self._parse(path).repo_id if path else None)
        if path is None:
            client.trees.invalidate()


_OPTIONS: Final = [
    name
    for name, parameter in inspect.signature(FileSystemBase.__init__).parameters.items()
    if name != "self" and parameter.kind is not parameter.VAR_KEYWORD
]


def _rebuilt(kind: type[F], args: tuple[Any, ...], options: dict[str, Any], endpoint: str) -> F:
    """Make a file system from its options, with its own endpoint: logins and variables may differ from process to process."""
    found = kind(*args, **options)
    if found.endpoint == endpoint:
        return found
    return kind(endpoint, *args[1:], **{name: value for name, value in options.items() if name != "endpoint"})


def _loop_of_this_thread() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _prepare() -> None:
    """Import the modules that requests need on the caller's thread, so that no event loop is blocked by the import."""
    # An interpreter that is shutting down cannot import. Calls fail then, with a message that says so.
    if not sys.is_finalizing():
        import pyxet._async.fs.remote  # noqa: F401  # for its effect
