"""A page of a listing: a list that shows itself as a table and knows how to get the next page."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

if TYPE_CHECKING:
    import pandas

T = TypeVar("T")
Row = dict[str, Any]
_SHORT = 12  # characters that stay on one line
_LONGEST = 60  # characters of a description in a listing that is text


class Page(Sequence[T], Generic[T]):
    """Part of a listing, newest first.

    Parameters
    ----------
    items : sequence
        What is on the page.
    row : callable
        Makes a table row ``{column: value}`` of an item.
    next_page : callable, optional
        Returns the next page; None on the last one.
    what : str
        What the items are, in the plural; for the empty state.
    hint : str
        What to do when the listing is empty.
    """

    def __init__(
        self,
        items: Sequence[T],
        row: Callable[[T], Row],
        next_page: Callable[[], Page[T]] | None = None,
        what: str = "items",
        hint: str = "",
    ) -> None:
        self._items = list(items)
        self._row = row
        self._next_page = next_page
        self._what = what
        self._hint = hint

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        return self._items[index]

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[T]:
        return iter(self._items)

    @property
    def has_more(self) -> bool:
        """Tell whether there is a next page."""
        return self._next_page is not None

    def next(self) -> Page[T]:
        """Return the next page; an empty one after the last."""
        return self._next_page() if self._next_page else Page([], self._row, None, self._what, self._hint)

    def all(self) -> Iterator[T]:
        """Yield the items of this and all following pages."""
        page = self
        while True:
            yield from page
            if not page.has_more:
                return
            page = page.next()

    def rows(self) -> list[Row]:
        """Return one ``{column: value}`` dict per item."""
        return [self._row(item) for item in self._items]

    def table(self) -> pandas.DataFrame:
        """Return the page as a pandas DataFrame.

        Raises
        ------
        MissingPackageError
            If pandas is not installed; ``rows()`` needs nothing.
        """
        try:
            import pandas
        except ImportError:
            from workbench.errors import MissingPackageError

            raise MissingPackageError(
                "A DataFrame needs pandas, which is not installed. Run: pip install pandas; or use .rows().",
                package="pandas",
            ) from None
        return pandas.DataFrame(self.rows())

    def __repr__(self) -> str:
        return text_table(self.rows(), self._empty(), more=self.has_more, longest=_LONGEST)

    def _repr_html_(self) -> str:
        return html_table(self.rows(), self._empty(), more=self.has_more)

    def _empty(self) -> str:
        return f"No {self._what}." + (f" {self._hint}" if self._hint else "")


def cell_text(value: Any) -> str:
    """Return a table cell's text: None is empty, sequences are joined, times are local to the minute."""
    if value is None:
        return ""
    if hasattr(value, "astimezone"):
        return str(value.astimezone().strftime("%Y-%m-%d %H:%M:%S"))
    if isinstance(value, (tuple, list)):
        return ", ".join(cell_text(v) for v in value)
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


def text_table(rows: Sequence[Row], empty: str = "", more: bool = False, longest: int | None = None) -> str:
    """Return rows as aligned plain text, which reads well in a terminal and in a diff.

    Sentences longer than ``longest`` are cut; names and ids are not, as long as they are no longer than four times that.

    >>> print(text_table([{"name": "denoise", "version": "1.0"}]))
    name     version
    denoise  1.0
    """
    if not rows:
        return empty
    columns = list(rows[0])
    cells = [columns] + [
        [_cut(cell_text(r.get(c)).replace("\n", " "), longest) for c in columns] for r in rows
    ]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    lines = ["  ".join(t.ljust(w) for t, w in zip(line, widths, strict=True)).rstrip() for line in cells]
    return "\n".join(lines + (["…"] if more else []))


def _cut(text: str, longest: int | None) -> str:
    is_long = longest and (len(text) > 4 * longest or (len(text) > longest and " " in text))
    return f"{text[: longest - 1].rstrip()}…" if longest and is_long else text


def html_table(rows: Sequence[Row], empty: str = "", more: bool = False) -> str:
    """Return rows as an HTML table in the front end's own style; a value with ``_repr_html_`` shows itself."""
    if not rows:
        return f"<p>{html.escape(empty)}</p>"
    head = "".join(f'<th style="text-align:left">{html.escape(c)}</th>' for c in rows[0])
    body = "".join("<tr>" + "".join(_cell_html(r.get(c)) for c in rows[0]) + "</tr>" for r in rows)
    tail = "<p>More follow: <code>.next()</code></p>" if more else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{tail}"


def _cell_html(value: Any) -> str:
    own = getattr(value, "_repr_html_", None)
    text = cell_text(value)
    content = own() if callable(own) else html.escape(text)
    # a date or a size would wrap at its hyphens and blanks
    wrap = ";white-space:nowrap" if len(text) <= _SHORT or hasattr(value, "astimezone") else ""
    return f'<td style="text-align:left;vertical-align:top{wrap}">{content}</td>'
