"""A promotion before it is done: where each entry is and where it goes; a button that does it, and one that takes it back."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from workbench.errors import WorkbenchError
from workbench.notebook.style import CSS
from workbench.notebook.widget_tree import close_below
from workbench.pages import html_table

if TYPE_CHECKING:
    from workbench.library.entries import Entries
    from workbench.library.entry import Entry

_MOST = 50  # entries that the preview names


class PromotionView(widgets.VBox):  # type: ignore[misc]
    """A promotion with its preview.

    Parameters
    ----------
    entries : Entries
    what : str, Entry, or several
        As for `Entries.move`.
    **where
        Its ``kind``, ``domain``, ``version``, ``folder``, ``extend``, ``check``.

    Raises
    ------
    InvalidInputError, NotFoundError, AlreadyExistsError
        As `Entries.move` would.
    """

    def __init__(self, entries: Entries, what: Any, **where: Any) -> None:
        self._entries = entries
        several: Iterable[Any] = what if isinstance(what, (list, tuple)) else [what]
        self._before: list[Entry] = [found for one in several for found in entries.find_all(one)]
        self._where = where
        self._after: list[Entry] = entries.move(self._before, dry_run=True, **where)
        self._joined = _joined(entries, self._before, self._after)
        self.is_done = False
        self._table = widgets.HTML()
        self._table.add_class("wb-table")
        self._do = self._button("Promote", "arrow-right", self.promote, "primary")
        self._undo = self._button("Undo", "undo", self.undo)
        self._reason = widgets.HTML(layout={"flex": "1 1 0", "min_width": "0"})
        head = widgets.HTML(f"<b>Promotion of {_count(self._before)}</b>")
        head.add_class("wb-head")
        style = widgets.HTML(CSS)
        style.add_class("wb-style")
        line = widgets.HBox(
            [self._do, self._undo, self._reason], layout={"align_items": "center", "margin": "4px 0 0"}
        )
        super().__init__([style, head, self._table, line], layout={"width": "100%"})
        self.add_class("wb-form")
        joins = f" They join {', '.join(self._joined)}." if self._joined else ""
        self._show(f"Nothing is changed yet. Id, version and metadata stay.{joins}")

    def promote(self) -> None:
        """Move the entries."""
        self._try(lambda: self._entries.move(self._before, **self._where), True, "Promoted")

    def undo(self) -> None:
        """Move them back to where they were."""
        self._try(lambda: self._entries.move_back(self._before), False, "Moved back")

    def close(self) -> None:
        """Take the widgets away."""
        close_below(self)
        super().close()

    def __repr__(self) -> str:
        return "\n".join(f"{a.ref} → {b.ref}" for a, b in zip(self._before, self._after, strict=True))

    def _try(self, change: Any, is_done: bool, word: str) -> None:
        if self.is_done is is_done:
            return
        self._do.disabled = self._undo.disabled = True
        try:
            changed = change()
        except WorkbenchError as error:
            self._show(str(error), bad=True)
            return
        except Exception as error:
            self._show(f"{type(error).__name__}: {error}", bad=True)
            raise
        self.is_done = is_done
        self._show(f"{word}: {_count(changed)}.")

    def _show(self, text: str, *, bad: bool = False) -> None:
        self._do.disabled, self._undo.disabled = self.is_done, not self.is_done
        rows = [
            {
                "name": a.name,
                "from" if not self.is_done else "was": f"{a.domain}/{a.kind}@{a.version}",
                "to" if not self.is_done else "is": f"{b.domain}/{b.kind}@{b.version}",
                "file": "copy in the workspace" if a.is_copy else _file(a, b),
                "metadata": ", ".join(f"{key}={value}" for key, value in a.metadata.items()),
            }
            for a, b in zip(self._before[:_MOST], self._after, strict=False)
        ]
        more = len(self._before) - _MOST
        tail = f"<p class='wb-muted'>and {more} more</p>" if more > 0 else ""
        self._table.value = html_table(rows) + tail
        self._reason.value = f'<span class="{"wb-bad" if bad else "wb-muted"}">{html.escape(text)}</span>'

    def _button(self, text: str, icon: str, click: Any, style: str = "") -> Any:
        made = widgets.Button(
            description=text, icon=icon, button_style=style, layout={"width": "auto", "flex": "0 0 auto"}
        )
        made.on_click(lambda _: click())
        return made


def _file(before: Entry, after: Entry) -> str:
    return str(before.path) if before.path == after.path else f"{before.path} → {after.path}"


def _count(entries: list[Entry]) -> str:
    return f"{len(entries)} {'entry' if len(entries) == 1 else 'entries'}"


def _joined(entries: Entries, before: list[Entry], after: list[Entry]) -> list[str]:
    """Return the versions that are there and get more files, such as ``eos/data@1 with its 2 files``."""
    places = {(b.domain, str(b.kind), b.version) for b in after}
    mine = {one.id for one in before}
    found = []
    for domain, kind, version in sorted(places):
        if domain in entries.domains():
            others = [one for one in entries.list(domain, kind, version=version).all() if one.id not in mine]
            files = f"{len(others)} file{'s' if len(others) > 1 else ''}"
            found += [f"{domain}/{kind}@{version} with its {files}"] if others else []
    return found
