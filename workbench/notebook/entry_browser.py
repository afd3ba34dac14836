"""Entries as a table to search in: conditions, domain, kind, order, and a page at a time."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from workbench.errors import WorkbenchError
from workbench.library.dataset import human_size
from workbench.models import EntryKind
from workbench.notebook.style import CSS
from workbench.notebook.widget_tree import close_below
from workbench.pages import cell_text, html_table

if TYPE_CHECKING:
    from workbench.library.entries import Entries
    from workbench.library.entry import Entry
    from workbench.pages import Page

ORDERS = (
    ("newest first", "-created"),
    ("oldest first", "created"),
    ("highest version", "-version"),
    ("largest first", "-size"),
)
BEST = ("best first (val_error)", "val_error")
_ROWS = 20


class EntryBrowser(widgets.VBox):  # type: ignore[misc]
    """A table of entries to search in.

    Parameters
    ----------
    entries : Entries
    domain, kind, where : str, optional
        What it shows first.
    order : str
    limit : int, optional
        Rows of a page.

    Raises
    ------
    NotFoundError, InvalidInputError
        For an unknown domain or kind, with the nearest.

    Attributes
    ----------
    page : Page or None
        The entries that it shows; None where what was asked for is refused.
    """

    def __init__(
        self,
        entries: Entries,
        domain: str | None = None,
        kind: str | None = None,
        where: str | None = None,
        order: str = "-created",
        limit: int | None = None,
    ) -> None:
        self._entries = entries
        self._limit = limit or _ROWS
        self.page: Page[Entry] | None = None
        self._before: list[Page[Entry]] = []
        if domain is not None or kind is not None:
            entries.list(domain, kind, limit=1)  # a misspelt one is refused with the nearest
        domains = [("all domains", ""), *((name, name) for name in entries.domains())]
        kinds = [("all kinds", ""), *((str(one), str(one)) for one in EntryKind)]
        orders = [*ORDERS, BEST]
        if order not in [value for _, value in orders]:
            orders.append((order, order))
        self._domain = widgets.Dropdown(options=domains, value=domain or "", layout={"width": "150px"})
        self._kind = widgets.Dropdown(options=kinds, value=kind or "", layout={"width": "120px"})
        self._order = widgets.Dropdown(options=orders, value=order, layout={"width": "180px"})
        self._latest = widgets.Checkbox(
            description="latest versions only", indent=False, layout={"width": "auto", "flex": "0 0 auto"}
        )
        self._latest.add_class("wb-check")
        self._where = widgets.Text(
            value=where or "",
            placeholder="val_error < 0.1 and family == 'relu'",
            continuous_update=False,
            layout={"flex": "1 1 240px", "width": "auto"},
        )
        for field in (self._domain, self._kind, self._order, self._latest, self._where):
            field.observe(lambda change: self.search(), "value")
        self._newer = self._button("", "chevron-left", "The page before", self.back)
        self._older = self._button("", "chevron-right", "The next page", self.next)
        self._note = widgets.HTML(layout={"flex": "1 1 0", "min_width": "0"})
        self._table = widgets.HTML()
        self._table.add_class("wb-table")
        self._table.add_class("wb-rows")
        style = widgets.HTML(CSS)
        style.add_class("wb-style")
        wrap = {"flex_flow": "row wrap", "align_items": "center"}
        super().__init__(
            [
                style,
                widgets.HBox([self._domain, self._kind, self._order, self._latest], layout=wrap),
                widgets.HBox([self._where], layout=wrap),
                self._table,
                widgets.HBox([self._newer, self._older, self._note], layout=wrap),
            ],
            layout={"width": "100%"},
        )
        self.add_class("wb-form")
        self.search()

    def search(self) -> None:
        """Show the first page of what the fields ask for."""
        self._before = []
        where = self._where.value.strip() or None
        version = "latest" if self._latest.value else None
        options: dict[str, Any] = {"order": self._order.value, "limit": self._limit, "version": version}
        domain, kind = self._domain.value or None, self._kind.value or None
        try:
            self.page = self._entries.search(where, domain, kind, **options)
        except WorkbenchError as error:
            self.page = None
            self._show(str(error), bad=True)
            return
        self._show()

    def next(self) -> None:
        """Show the next page."""
        if self.page is not None and self.page.has_more:
            try:
                page = self.page.next()
            except WorkbenchError as error:  # the page that is shown stays
                self._show(str(error), bad=True)
                return
            self._before.append(self.page)
            self.page = page
            self._show()

    def back(self) -> None:
        """Show the page before."""
        if self._before:
            self.page = self._before.pop()
            self._show()

    def close(self) -> None:
        """Take the widgets away."""
        close_below(self)
        super().close()

    def __repr__(self) -> str:
        return repr(self.page) if self.page is not None else "Entries"

    def _show(self, problem: str = "", *, bad: bool = False) -> None:
        if self.page is not None:
            named = ("domain", "kind", "version", "name", "id")  # the name by which it is found says it all
            rows = [
                {"name": entry.ref, **{key: v for key, v in row.items() if key not in named}}
                for entry, row in zip(self.page, self.page.rows(), strict=True)
            ]
            for row in rows:
                row["size"] = human_size(row["size"])
                row["created"] = cell_text(row["created"])[:16]  # to the minute
            first = 1 + sum(len(page) for page in self._before)
            self._table.value = html_table(rows) if rows else ""
            more = ", more follow" if self.page.has_more else ""
            problem = f"{first} to {first + len(rows) - 1}{more}" if rows else "No entry fulfils this."
        self._newer.disabled = not self._before
        self._older.disabled = self.page is None or not self.page.has_more
        (self._where.add_class if bad else self._where.remove_class)("wb-wrong")
        self._note.value = f'<span class="{"wb-bad" if bad else "wb-muted"}">{html.escape(problem)}</span>'

    def _button(self, text: str, icon: str, tip: str, click: Any) -> Any:
        made = widgets.Button(description=text, icon=icon, tooltip=tip, layout={"width": "34px"})
        made.on_click(lambda _: click())
        return made
