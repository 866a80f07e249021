"""`scan_parquet`: Parquet files as a lazy frame of polars.

polars reads and writes URLs with a library of its own, which knows no ``xet://`` and asks nobody. Its interface for sources
in Python tells us the columns and the predicate of a query; pyarrow reads what they leave. It needs polars and pyarrow.
"""

from __future__ import annotations

import io
import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import reduce
from itertools import islice
from typing import Any, Final, TypeAlias, TypeVar

from fsspec.utils import stringify_path

from pyxet._given import file_system_of
from pyxet.errors import NotFoundError, XetURLError
from pyxet.fs import XetFS
from pyxet.patterns import has_magic, unescaped

try:
    import polars as pl
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.dataset as ds
    from polars.io.plugins import register_io_source
except ImportError as error:
    raise ImportError("pyxet.polars needs polars and pyarrow; install them with: pip install polars pyarrow") from error

T = TypeVar("T")
U = TypeVar("U")
Url: TypeAlias = str | os.PathLike[str]

# Row groups that are read at once, and footers.
_AHEAD: Final = 4
_STRINGS: Final = frozenset({"string", "large_string", "string_view"})
# How a comparison reads from its other side.
_FLIPPED: Final = {"Eq": "Eq", "Lt": "Gt", "LtEq": "GtEq", "Gt": "Lt", "GtEq": "LtEq"}
_BETWEEN: Final = {
    "Both": ("GtEq", "LtEq"), "Left": ("GtEq", "Lt"), "Right": ("Gt", "LtEq"), "None": ("Gt", "Lt")
}  # fmt: skip


def scan_parquet(
    source: Url | Sequence[Url],
    *,
    hive_partitioning: bool = True,
    batch_size: int | None = None,
    filesystem: XetFS | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> Any:
    """Parquet files as a ``polars.LazyFrame``: only the columns, partitions and row groups that a query needs are read.

    The frame stays on the version that it was made from; a transaction's pending files are read as they are when it is
    collected. Rows come in batches, so that streaming sinks need not hold them all.

    Parameters
    ----------
    source:
        A file, a folder, or a pattern of them, or a list of files: ``xet://[endpoint:]owner/repo/branch/path``.
    hive_partitioning:
        Whether folders like ``year=2026`` are columns.
    batch_size:
        Rows that are handed over at once; as polars asks for it if ``None``.
    filesystem, storage_options:
        The file system to read from, or arguments of `XetFS` to make one with.

    Raises
    ------
    NotFoundError
        There are no such files.
    XetURLError, TypeError
        ``source`` or ``filesystem`` is nothing that can be read from.
    """
    urls = [source] if isinstance(source, (str, os.PathLike)) else list(source)
    if not urls:
        raise XetURLError("scan_parquet: the list of files is empty")
    fs, files = _files(urls, filesystem, storage_options)
    dataset = ds.dataset(
        files, format="parquet", filesystem=fs, partitioning="hive" if hive_partitioning else None
    )  # fmt: skip
    schema = pl.from_arrow(dataset.schema.empty_table()).schema

    def read(
        columns: list[str] | None, predicate: Any, rows: int | None, asked_size: int | None
    ) -> Iterator[Any]:  # fmt: skip
        # The first rows are meant before the predicate.
        pushed = None if predicate is None or rows is not None else pushed_down(predicate, dataset.schema)
        names = columns
        if columns is not None and predicate is not None:
            names = list(dict.fromkeys([*columns, *predicate.meta.root_names()]))
        for table in _row_groups(dataset, names, pushed, rows):
            for batch in table.to_batches(batch_size or asked_size):
                frame = pl.DataFrame(height=batch.num_rows) if names == [] else pl.from_arrow(batch)
                if predicate is not None:
                    frame = frame.filter(predicate)
                yield frame if columns is None else frame.select(columns)

    return register_io_source(read, schema=schema)


def _files(
    urls: Sequence[Url], filesystem: XetFS | None, storage_options: Mapping[str, Any] | None
) -> tuple[XetFS, list[str]]:
    """The file system, and the paths of the files, in the commit that their branch is at unless some are pending."""
    fs = file_system_of(urls[0], filesystem, storage_options)
    found: dict[str, Any] = {}
    for url in urls:
        text = stringify_path(url)
        below = _below(fs, text)
        is_pattern = has_magic(text) and not below
        if is_pattern:
            below = fs.glob(text, detail=True)
        # What is named is read, whatever its name; of a folder the Parquet files.
        named = is_pattern or not {fs._normalized(text), fs._normalized(unescaped(text) or text)}.isdisjoint(below)
        files = {
            name: info
            for name, info in below.items()
            if info["type"] == "file" and (named or name.endswith(".parquet"))
        }
        if not files:
            raise NotFoundError(f"there are no Parquet files at {text}", status=404)
        found |= files
    transaction = fs._open_transaction()
    if transaction is not None and any(info.get("pending") for info in found.values()):
        # It takes part on the threads that read.
        return transaction.fs, list(found)
    return fs, [replace(fs._parse(name), revision=info["commit"]).full_path for name, info in found.items()]


def _below(fs: XetFS, path: str) -> dict[str, Any]:
    """The files at a path and below it; none for what is no name, as patterns are that begin above the files."""
    try:
        found: dict[str, Any] = fs.find(path, detail=True)
    except XetURLError:
        if has_magic(path):
            return {}
        raise
    return found


# -- content -----------------------------------------------------------------------------------------------------------


def _row_groups(dataset: Any, columns: list[str] | None, pushed: Pushed | None, rows: int | None) -> Iterator[Any]:
    """The rows of a dataset, or the first ones, in tables: those of one row group each, some of them read ahead.

    Not by a scanner of pyarrow: one that is not read to its end leaves threads of its own reading, and a program that ends
    meanwhile crashes.
    """
    pool = ThreadPoolExecutor(_AHEAD, thread_name_prefix="pyxet-polars")
    left = rows
    filters = pushed.filter if pushed is not None else None

    def groups() -> Iterator[Any]:
        nonlocal left
        split = _ahead(
            pool, lambda fragment: fragment.split_by_row_group(filters, dataset.schema), dataset.get_fragments(filters)
        )
        for fragments in split:
            for fragment in fragments:
                if left is not None and left <= 0:
                    return
                if pushed is not None and not pushed.may_match(fragment.row_groups[0].statistics or {}):
                    continue
                yield fragment
                if left is not None:
                    left -= fragment.row_groups[0].num_rows

    def table(fragment: Any) -> Any:
        return fragment.to_table(schema=dataset.schema, columns=columns, filter=filters)

    wanted = rows
    try:
        for found in _ahead(pool, table, groups()):
            if wanted is not None:
                found = found.slice(0, wanted)
                wanted -= found.num_rows
            yield found
    finally:
        pool.shutdown(cancel_futures=True)


def _ahead(pool: ThreadPoolExecutor, function: Callable[[T], U], items: Iterable[T]) -> Iterator[U]:
    """What a function makes of items, in their order; that of the next ones is under way meanwhile."""
    source = iter(items)
    running = deque(pool.submit(function, item) for item in islice(source, _AHEAD))
    while running:
        yield running.popleft().result()
        running.extend(pool.submit(function, item) for item in islice(source, 1))


# -- predicates --------------------------------------------------------------------------------------------------------


# The least and the greatest value of columns in a row group: ``{"n": {"min": 0, "max": 9}}``.
Statistics: TypeAlias = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Pushed:
    """What a predicate comes to where files are read. It may be true of more rows than the predicate, never of less.

    Attributes
    ----------
    filter:
        A pyarrow expression.
    may_match:
        Whether a row group of these statistics can have rows of which it is true. pyarrow looks at them as well, but not
        at those of columns that have nulls.
    """

    filter: Any
    may_match: Callable[[Statistics], bool]

    def __and__(self, other: Pushed) -> Pushed:
        return Pushed(self.filter & other.filter, lambda found: self.may_match(found) and other.may_match(found))

    def __or__(self, other: Pushed) -> Pushed:
        return Pushed(self.filter | other.filter, lambda found: self.may_match(found) or other.may_match(found))


def pushed_down(predicate: Any, schema: Any) -> Pushed | None:
    """What can be left to the reader of a polars predicate, which polars applies itself to what is read; if anything."""
    try:
        found = _converted(json.loads(predicate.meta.serialize(format="json")), schema)
        if found is not None:
            # Some types have no comparisons.
            schema.empty_table().filter(found.filter)
        return found
    except Exception:  # noqa: BLE001  # polars promises nothing about the form of its expressions: then all is read
        return None


def _converted(node: dict[str, Any], schema: Any) -> Pushed | None:
    match node:
        case {"BinaryExpr": {"left": left, "op": "And" | "LogicalAnd", "right": right}}:
            return _both(_converted(left, schema), _converted(right, schema))
        case {"BinaryExpr": {"left": left, "op": "Or" | "LogicalOr", "right": right}}:
            one, other = _converted(left, schema), _converted(right, schema)
            return None if one is None or other is None else one | other
        case {"BinaryExpr": {"left": {"Column": name}, "op": op, "right": value}}:
            return _comparison(name, op, _value(value), schema)
        case {"BinaryExpr": {"left": value, "op": op, "right": {"Column": name}}}:
            return _comparison(name, _FLIPPED.get(op, op), _value(value), schema)
        case {"Function": {"input": [{"Column": name}, *inputs], "function": {"Boolean": function}}}:
            return _function(name, inputs, function, schema)
    return None


def _both(one: Pushed | None, other: Pushed | None) -> Pushed | None:
    return other if one is None else one if other is None else one & other


def _function(name: str, inputs: Sequence[Any], function: Any, schema: Any) -> Pushed | None:
    match function:
        case "IsNull":
            return Pushed(pc.field(name).is_null(), lambda _: True)
        case {"IsBetween": {"closed": closed}}:
            sides = zip(_BETWEEN[closed], inputs, strict=True)
            return reduce(_both, [_comparison(name, op, _value(node), schema) for op, node in sides])
        case {"IsIn": {"nulls_equal": False}}:
            value = _value(inputs[0])
            values = value.to_list() if isinstance(value, pl.Series) else list(value)
            each = [_comparison(name, "Eq", item, schema) for item in values]
            if not each or None in each:
                return None
            within = pc.field(name).isin(pa.array(values, type=schema.field(name).type))
            return Pushed(within, lambda found: any(item is not None and item.may_match(found) for item in each))
    return None


# Of a column and a value; and of the least and greatest value in a row group and a value.
_COMPARE: Final[dict[str, tuple[Callable[[Any, Any], Any], Callable[[Any, Any, Any], bool]]]] = {
    "Eq": (lambda field, value: field == value, lambda least, most, value: least <= value <= most),
    "Lt": (lambda field, value: field < value, lambda least, most, value: least < value),
    "LtEq": (lambda field, value: field <= value, lambda least, most, value: least <= value),
    "Gt": (lambda field, value: field > value, lambda least, most, value: most > value),
    "GtEq": (lambda field, value: field >= value, lambda least, most, value: most >= value),
}


def _comparison(name: str, op: str, value: Any, schema: Any) -> Pushed | None:
    kind = schema.field(name).type
    scalar = _scalar(value, kind)
    # To polars NaN is greater than any number, to pyarrow and to the statistics of row groups it is not.
    if scalar is None or op not in _COMPARE or (pa.types.is_floating(kind) and op in ("Gt", "GtEq")):
        return None
    compare, can = _COMPARE[op]

    def may_match(found: Statistics) -> bool:
        known = found.get(name, {})
        try:
            return can(known["min"], known["max"], value)
        except (KeyError, TypeError):
            # Nothing is known, or it is of another kind, as text is where it stands in bytes.
            return True

    return Pushed(compare(pc.field(name), scalar), may_match)


def _value(node: dict[str, Any]) -> Any:
    """What an expression without columns comes to."""
    expression = pl.Expr.deserialize(io.StringIO(json.dumps(node)), format="json")
    if expression.meta.root_names():
        raise ValueError("it has columns")
    return pl.select(expression).item()


def _scalar(value: Any, kind: Any) -> Any:
    """A value as a column has it; ``None`` where the two do not compare in the same way in polars and pyarrow."""
    same = (
        (pa.types.is_integer(kind) and type(value) is int)
        or (pa.types.is_floating(kind) and type(value) in (int, float) and value == value)
        or (pa.types.is_boolean(kind) and isinstance(value, bool))
        or (str(kind) in _STRINGS and isinstance(value, str))
        or pa.types.is_date(kind)
        or pa.types.is_timestamp(kind)
    )
    if not same or value is None:
        return None
    scalar = pa.scalar(value, type=kind)
    return scalar if scalar.as_py() == value else None
