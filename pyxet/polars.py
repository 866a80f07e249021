"""`scan_parquet`: Parquet files as a lazy frame of polars. It needs polars and pyarrow.

polars reads and writes URLs with a library of its own, which does not support ``xet://``. Through polars' interface for
sources in Python, we get the columns and the predicate of a query; pyarrow reads what they require.
"""

from __future__ import annotations

import io
import json
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
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

# Number of row groups, or of footers, that are read at once.
_AHEAD: Final = 4
_STRINGS: Final = frozenset({"string", "large_string", "string_view"})
# Comparisons with their sides exchanged.
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

    The frame always reads the commit that the branch was at when the frame was made; but a transaction's pending files are
    read as they are when the frame is collected. Rows come in batches, so that streaming sinks need not hold all of them.

    Parameters
    ----------
    source:
        A file, a folder or a pattern, or a list of these: ``xet://[endpoint:]owner/repo/branch/path``.
    hive_partitioning:
        Whether folders like ``year=2026`` are columns.
    batch_size:
        Number of rows in a batch; ``None`` for the size that polars requests.
    filesystem, storage_options:
        The file system to read from, or arguments of `XetFS` to make one with.

    Raises
    ------
    NotFoundError
        There are no such files.
    XetURLError, TypeError
        ``source`` or ``filesystem`` cannot be read from.
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
        # A limit of rows applies before the predicate, so with a limit the predicate cannot be pushed down.
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
    """The file system and the paths of the files: those in the branch's present commit, unless some files are pending."""
    fs = file_system_of(urls[0], filesystem, storage_options)
    found: dict[str, Any] = {}
    for url in urls:
        text = stringify_path(url)
        below = _below(fs, text)
        is_pattern = has_magic(text) and not below
        if is_pattern:
            below = fs.glob(text, detail=True)
        # A file that is named, or matches the pattern, is read whatever its suffix; in a folder only Parquet files are.
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
        # The transaction's own file system takes part in it on the threads that read, too.
        return transaction.fs, list(found)
    return fs, [replace(fs._parse(name), revision=info["commit"]).full_path for name, info in found.items()]


def _below(fs: XetFS, path: str) -> dict[str, Any]:
    """The files at a path and below it; none for a pattern that is not a valid path."""
    try:
        found: dict[str, Any] = fs.find(path, detail=True)
    except XetURLError:
        if has_magic(path):
            return {}
        raise
    return found


# -- content -----------------------------------------------------------------------------------------------------------


def _row_groups(
    dataset: Any, columns: list[str] | None, pushed: Pushed | None, rows: int | None
) -> Generator[Any, None, None]:  # fmt: skip
    """The rows of a dataset, or the first of them: a table for each row group, with some row groups read ahead.

    pyarrow's scanner is not used: if it is not read to its end, its threads go on reading, and a program that ends
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
        # Threads that still read are not waited for: the garbage collector may end this generator on a thread that holds locks
        # of other pools, which an endpoint in this process needs to answer them. The interpreter waits for them at its end.
        pool.shutdown(wait=False, cancel_futures=True)


def _ahead(pool: ThreadPoolExecutor, function: Callable[[T], U], items: Iterable[T]) -> Iterator[U]:
    """The results of a function for some items, in their order; the next few are computed ahead in the pool."""
    source = iter(items)
    running = deque(pool.submit(function, item) for item in islice(source, _AHEAD))
    while running:
        yield running.popleft().result()
        running.extend(pool.submit(function, item) for item in islice(source, 1))


# -- predicates --------------------------------------------------------------------------------------------------------


# The minimum and maximum of columns in a row group: ``{"n": {"min": 0, "max": 9}}``.
Statistics: TypeAlias = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Pushed:
    """The part of a predicate that is applied when files are read. It accepts all rows of the predicate, and maybe more.

    Attributes
    ----------
    filter:
        A pyarrow expression.
    may_match:
        Returns whether a row group with the given statistics can have matching rows. pyarrow uses statistics as well, but
        not those of columns with nulls.
    """

    filter: Any
    may_match: Callable[[Statistics], bool]

    def __and__(self, other: Pushed) -> Pushed:
        return Pushed(self.filter & other.filter, lambda found: self.may_match(found) and other.may_match(found))

    def __or__(self, other: Pushed) -> Pushed:
        return Pushed(self.filter | other.filter, lambda found: self.may_match(found) or other.may_match(found))


def pushed_down(predicate: Any, schema: Any) -> Pushed | None:
    """The part of a polars predicate that the reader can apply, or ``None``. The whole predicate is applied afterwards."""
    try:
        found = _converted(json.loads(predicate.meta.serialize(format="json")), schema)
        if found is not None:
            # Raises if a type has no comparisons.
            schema.empty_table().filter(found.filter)
        return found
    except Exception:  # noqa: BLE001  # the form of polars' expressions is not a stable interface; then everything is read
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


# For each comparison: an expression for a column and a value, and whether a row group with a minimum and maximum can match.
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
    # In polars NaN is greater than any number; in pyarrow and in the statistics of row groups it is not.
    if scalar is None or op not in _COMPARE or (pa.types.is_floating(kind) and op in ("Gt", "GtEq")):
        return None
    compare, can = _COMPARE[op]

    def may_match(found: Statistics) -> bool:
        known = found.get(name, {})
        try:
            return can(known["min"], known["max"], value)
        except (KeyError, TypeError):
            # There are no statistics, or they have another type, such as bytes for a column of strings.
            return True

    return Pushed(compare(pc.field(name), scalar), may_match)


def _value(node: dict[str, Any]) -> Any:
    """The value of an expression without columns."""
    expression = pl.Expr.deserialize(io.StringIO(json.dumps(node)), format="json")
    if expression.meta.root_names():
        raise ValueError("the expression has columns")
    return pl.select(expression).item()


def _scalar(value: Any, kind: Any) -> Any:
    """A value as a scalar of a column's type; ``None`` if polars and pyarrow do not compare the two in the same way."""
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
