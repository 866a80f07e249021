"""Values as people see them: sizes, and small HTML tables for notebooks, without scripts and with all text escaped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Any, Final, TypeVar

T = TypeVar("T")

_UNITS: Final = "KMGTP"
# Rows of a table that are shown at most, as notebooks save what they show.
_MOST_ROWS: Final = 50
_BAR: Final = "display:inline-block;height:0.8em;vertical-align:baseline"


def human_size(size: int) -> str:
    """Bytes in units of 1024: ``517 B``, ``2.4 KiB``, ``1.0 GiB``."""
    if size < 1024:
        return f"{size} B"
    value, unit = float(size), ""
    for letter in _UNITS:
        value /= 1024
        unit = letter
        # A larger value would be rounded to "1024.0 KiB".
        if value < 1023.95:
            break
    return f"{value:.1f} {unit}iB"


def cell(value: object) -> str:
    """A value as text for people, escaped."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, int | float):
        return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"
    return escape(str(value))


def table(
    header: Sequence[str], rows: Sequence[Sequence[object]], *, title: str = "", right: Iterable[int] = ()
) -> str:
    """An HTML table of the first rows, with the number of rows that are left out.

    Parameters
    ----------
    header:
        Names of the columns; empty for a table without a header.
    rows:
        The values of each row.
    title:
        Text above the table.
    right:
        Numbers of the columns that are aligned to the right.
    """
    aligned = set(right)

    def row(values: Iterable[object], tag: str) -> str:
        told = (
            f'<{tag} style="text-align:{"right" if at in aligned else "left"}">{cell(value)}</{tag}>'
            for at, value in enumerate(values)
        )
        return f"<tr>{''.join(told)}</tr>"

    head = f"<thead>{row(header, 'th')}</thead>" if header else ""
    body = "".join(row(values, "td") for values in rows[:_MOST_ROWS])
    more = len(rows) - _MOST_ROWS
    below = f"<p>… and {more:,} more</p>" if more > 0 else ""
    above = f"<p><strong>{escape(title)}</strong></p>" if title else ""
    return f"{above}<table>{head}<tbody>{body}</tbody></table>{below}"


def parts_bar(parts: Sequence[tuple[str, int, str]]) -> str:
    """A bar of parts of a whole, each with its name, its bytes and its colour."""
    whole = sum(size for _, size, _ in parts)
    if not whole:
        return ""
    pieces = "".join(
        f'<span title="{escape(name)}" style="{_BAR};width:{20 * size / whole:.2f}em;background:{colour}"></span>'
        for name, size, colour in parts
        if size
    )
    told = ", ".join(f"{human_size(size)} {escape(name)} ({size / whole:.0%})" for name, size, _ in parts)
    return f"<p>{pieces} {told}</p>"


def link(text: str, url: str) -> str:
    """A link to a page; plain text if the URL is not http or https."""
    if not url.startswith(("https://", "http://")):
        return escape(text)
    return f'<a href="{escape(url)}" rel="noopener noreferrer">{escape(text)}</a>'


class Rows(list[T]):
    """A list that notebooks show as a table, such as a listing or a history. In all other respects it is a list."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        if not self:  # without a value, the columns are not known
            return "<p>The list is empty.</p>"
        columns, right, rows = _columns(self)
        return table(columns, rows, right=right)


def _columns(items: Sequence[Any]) -> tuple[list[str], set[int], list[list[object]]]:
    """The table of values of one kind: names of the columns, numbers of the right-aligned ones, and a row for each value."""
    if all(isinstance(item, Mapping) for item in items):
        dated = any("last_modified" in item for item in items)
        header = ["name", "size", "kind", *(["last modified"] if dated else [])]
        rows = [_info_row(item, dated) for item in items]
        return header, {1}, rows
    if all(hasattr(item, "_shown_row") for item in items):
        made = [item._shown_row() for item in items]
        header = list(made[0]) if made else []
        return header, {at for at, name in enumerate(header) if name == "size"}, [list(row.values()) for row in made]
    return [], set(), [[item] for item in items]


def _info_row(info: Mapping[str, Any], dated: bool) -> list[object]:
    is_file = info.get("type") == "file"
    row = [
        info.get("name"),
        human_size(info.get("size") or 0) if is_file else "",
        "file" if is_file else info.get("kind"),
    ]
    return [*row, info.get("last_modified")] if dated else row
