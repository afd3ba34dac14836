"""A view of sessions: what lies there, how large and how old it is; refreshed when asked, or every second while it is watched."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from workbench.errors import NotFoundError, WorkbenchError
from workbench.notebook.painter import PAINTER, Painter
from workbench.notebook.style import CSS
from workbench.notebook.widget_tree import close_below
from workbench.pages import html_table, text_table
from workbench.sessions.listing import size_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from workbench.sessions import Sessions

ALL = "all sessions"
SHOWN = 100


class SessionView(widgets.VBox):  # type: ignore[misc]
    """The sessions of a workspace, or the items of one.

    Parameters
    ----------
    sessions : Sessions
    name : str, optional
        Session to show; nothing shows all.
    painter : Painter
        Whose thread paints it while it is watched.

    Call `close` when the view is no longer needed.
    """

    def __init__(self, sessions: Sessions, name: str | None = None, *, painter: Painter = PAINTER) -> None:
        self._sessions = sessions
        self._painter = painter
        self._asked = ""  # what a second press of the button will do
        self._choice = widgets.Dropdown(options=[ALL], layout={"width": "220px"})
        self._refresh = self._button("Refresh", "refresh", self.paint)
        self._watch = widgets.ToggleButton(
            description="Watch", icon="eye", tooltip="Refresh every second", layout={"width": "90px"}
        )
        self._watch.observe(lambda change: self._painter.tick(self, change["new"]), "value")
        self._clear = self._button("Clear", "eraser", lambda: self._remove("Clear"))
        self._drop = self._button("Drop", "trash", lambda: self._remove("Drop"))
        self._head = widgets.HTML(layout={"margin": "0"})
        self._table = widgets.HTML(layout={"margin": "0", "overflow": "auto", "max_height": "420px"})
        style = widgets.HTML(CSS)
        style.add_class("wb-style")
        line = [self._choice, self._refresh, self._watch, self._clear, self._drop]
        bar = widgets.HBox(line, layout={"align_items": "center"})
        super().__init__([style, bar, self._head, self._table], layout={"width": "100%"})
        self.add_class("wb-view")
        self._fill_choice(name)
        self._choice.observe(lambda change: self.paint(), "value")
        self.paint()

    @property
    def name(self) -> str | None:
        """The session that is shown, or None for all."""
        return None if self._choice.value == ALL else self._choice.value

    def paint(self, *, tick: bool = False) -> None:
        """Bring the widgets up to date now."""
        if not tick:
            self._ask("")
        try:
            self._fill_choice(self.name)
            rows, head, empty = self._content()
        except WorkbenchError as error:
            self._head.value = f"<span class='wb-bad'>{html.escape(str(error))}</span>"
            return
        self._head.value = f"<span class='wb-muted'>{html.escape(head)}</span>"
        self._table.value = html_table(rows, empty)
        self._clear.disabled = self._drop.disabled = self.name is None

    def __repr__(self) -> str:
        rows, head, empty = self._content()
        return head + "\n" + text_table(rows, empty)

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        data = super()._repr_mimebundle_(**kwargs)
        return {**data, "text/plain": repr(self)} if isinstance(data, dict) else data

    def close(self) -> None:
        """Watch no more and take the widgets away; the sessions stay."""
        self._painter.forget(self)
        close_below(self)
        super().close()

    def _content(self) -> tuple[list[dict[str, Any]], str, str]:
        if self.name is None:
            page = self._sessions.list()
            count = len(page)
            head = f"{count} session{'' if count == 1 else 's'}, {size_text(self._sessions.nbytes)} in {self._sessions.folder}"
            return page.rows(), head, "No sessions yet."
        session = self._sessions.get(self.name)
        count = len(session)
        shown = f", the {SHOWN} used last" if count > SHOWN else ""
        head = f"{count} item{'' if count == 1 else 's'}, {size_text(session.nbytes)}{shown}"
        return session.items_info(SHOWN).rows(), head, "No items."

    def _fill_choice(self, name: str | None) -> None:
        options = [ALL, *self._sessions.names()]
        wanted = name if name in options else ALL
        if tuple(options) != tuple(self._choice.options):
            self._choice.options = options
        if self._choice.value != wanted:
            self._choice.value = wanted

    def _button(self, text: str, icon: str, act: Callable[[], None]) -> Any:
        button = widgets.Button(description=text, icon=icon, layout={"width": "90px"})
        button.on_click(lambda button: act())
        return button

    def _ask(self, what: str) -> None:
        """Ask before something is removed: the same button again, now red, does it."""
        self._asked = what
        for button, text in ((self._clear, "Clear"), (self._drop, "Drop")):
            sure = what == text
            button.description, button.button_style = ("Sure?", "danger") if sure else (text, "")

    def _remove(self, what: str) -> None:
        name = self.name
        if name is None:
            return
        if self._asked != what:
            self._ask(what)
            return
        try:
            if what == "Clear":
                self._sessions.get(name).clear()
            else:
                self._sessions.drop(name)
        except NotFoundError:
            pass  # somebody else was quicker
        self.paint()
