"""How instances of the file system are made and told apart, and what their options become."""

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
    """What fsspec and its users give to any file system, and what changes nothing here.

    pandas tries again with ``anon`` where it got a PermissionError, and would show that this is no option instead of what
    is wrong with the token.
    """

    skip_instance_cache: bool
    max_paths: int | None
    batch_size: int | None
    auto_mkdir: bool
    anon: bool


class Further(Ignored, total=False):
    # Set by `_bound_to`; an option, so that copies (zarr makes one by way of JSON) are bound as well.
    transaction_id: str


class ConfiguredFromOutside(_Cached, type):  # type: ignore[misc]  # fsspec is not typed
    """Instances are cached by their arguments; what they take from the environment and from logins counts as well."""

    @property
    def surroundings(cls) -> str:
        return config.surroundings()

    @property
    def __signature__(cls) -> inspect.Signature:
        """The constructor's, which `inspect` and editors would not find beneath the cache's call."""
        signature = inspect.signature(cls.__init__)  # type: ignore[misc]  # of this class, not of one below it
        own = list(signature.parameters.values())[1:]
        return signature.replace(parameters=own, return_annotation=inspect.Signature.empty)

    if not TYPE_CHECKING:
        # Type checkers take what a metaclass's call returns for the type of every instance; what the constructor says is it.
        def __call__(cls, *args: Any, **kwargs: Any) -> Any:
            """An instance; inside a blocking transaction that it takes part in, one that knows the transaction."""
            # What is masked would be the same for all, as what instances are told apart by.
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
    """How files are opened for reading where nothing else is said, see `XetFS.open`."""

    block_size: int | None = None
    cache_type: str | None = None
    cache_options: dict[str, Any] | None = None


def option_of(kind: type[T], given: T | Mapping[str, Any] | None) -> T:
    """An option's value; options that come from JSON or YAML are mappings."""
    if isinstance(given, Mapping):
        try:
            return kind(**given)
        except TypeError as error:
            raise ConfigError(f"{kind.__name__}: {error}") from error
    return kind() if given is None else given
