"""Creates and caches instances of the file system, and interprets their options."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

from fsspec.spec import _Cached

from pyxet import config
from pyxet.errors import ConfigError
from pyxet.secrets import Secret

T = TypeVar("T")


class Ignored(TypedDict, total=False):
    """Options that fsspec and its users give to any file system, and that have no effect here.

    pandas tries again with ``anon`` after a PermissionError. If ``anon`` were refused, the user would get an error about
    that option instead of the one about the token.
    """

    skip_instance_cache: bool
    max_paths: int | None
    batch_size: int | None
    auto_mkdir: bool
    anon: bool


class Further(Ignored, total=False):
    # Set by `_bound_to`. It is an option, so that copies of the instance (zarr makes one through JSON) are bound as well.
    transaction_id: str


class ConfiguredFromOutside(_Cached, type):  # type: ignore[misc]  # fsspec is not typed
    """Metaclass whose instance cache also compares the settings taken from environment variables and logins."""

    @property
    def surroundings(cls) -> str:
        return config.surroundings()

    @property
    def __signature__(cls) -> inspect.Signature:
        """The signature of the constructor. Without it, `inspect` and editors would show the signature of `__call__`."""
        signature = inspect.signature(cls.__init__)  # type: ignore[misc]  # of this class, not of one below it
        own = list(signature.parameters.values())[1:]
        return signature.replace(parameters=own, return_annotation=inspect.Signature.empty)

    if not TYPE_CHECKING:
        # Hidden from type checkers: they would use its return type for every instance, in place of the class.
        def __call__(cls, *args: Any, **kwargs: Any) -> Any:
            """Return an instance; if it takes part in an open transaction, the `Transaction.insider` of it."""
            # The cache compares the real values of secrets, as masked ones would all look the same.
            args = tuple(_revealed(value) for value in args)
            made = super().__call__(*args, **{name: _revealed(value) for name, value in kwargs.items()})
            if made.asynchronous or made._is_bound:
                return made
            transaction = made._open_transaction()
            return made if transaction is None else transaction.insider(made)


def _revealed(value: Any) -> Any:
    return value.reveal() if isinstance(value, Secret) else value


@dataclass(frozen=True, slots=True)
class ReadingDefaults:
    """The default options for opening files for reading, see `XetFS.open`."""

    block_size: int | None = None
    cache_type: str | None = None
    cache_options: dict[str, Any] | None = None


def option_of(kind: type[T], given: T | Mapping[str, Any] | None) -> T:
    """The value of an option: the default for ``None``; a mapping (from JSON or YAML) is converted."""
    if isinstance(given, Mapping):
        try:
            return kind(**given)
        except TypeError as error:
            raise ConfigError(f"{kind.__name__}: {error}") from error
    return kind() if given is None else given
