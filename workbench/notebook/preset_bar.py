"""Named presets of a form: choose, save, delete, and back to the defaults."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import ipywidgets as widgets

from workbench.notebook.form_memory import FormMemory


class PresetBar:
    """A line of widgets over the presets of one algorithm.

    Parameters
    ----------
    memory : FormMemory
    algorithm : str
        Its name; presets are shared by its versions and by all notebooks.
    values : callable
        Returns the values to save, or None while one of them is wrong.
    chosen : callable
        Takes the values of a preset that was chosen.
    reset : callable
        Sets every parameter to its default.
    """

    def __init__(
        self,
        memory: FormMemory,
        algorithm: str,
        values: Callable[[], Mapping[str, Any] | None],
        chosen: Callable[[Mapping[str, Any]], None],
        reset: Callable[[], None],
    ) -> None:
        self._memory, self._algorithm = memory, algorithm
        self._values, self._chosen = values, chosen
        self._is_listing = False
        self._choice = widgets.Dropdown(layout={"width": "150px"})
        self._choice.add_class("wb-preset")
        self._choice.observe(self._choose, "value")
        self._name = widgets.Text(placeholder="preset name", layout={"width": "140px"})
        self._name.observe(lambda change: self.refresh(), "value")
        self._save = widgets.Button(icon="save", tooltip="Save the values as a preset of this name")
        self._save.on_click(lambda button: self._save_clicked())
        self._delete = widgets.Button(icon="trash", tooltip="Delete the preset of this name")
        self._delete.on_click(lambda button: self._delete_clicked())
        for button in (self._save, self._delete):
            button.layout.width = "34px"
        defaults = widgets.Button(description="Defaults", icon="undo", layout={"width": "100px"})
        defaults.tooltip = "Set every parameter to its default"
        defaults.on_click(lambda button: reset())
        parts = [self._choice, self._name, self._save, self._delete, defaults]
        self.widget = widgets.HBox(parts, layout={"flex_flow": "row wrap", "align_items": "center"})
        self._list("")

    def refresh(self) -> None:
        """Bring the buttons in line with the values and the typed name."""
        name = self._name.value.strip()
        self._save.disabled = not name or self._values() is None
        self._delete.disabled = not name or name not in dict(self._choice.options)

    def _list(self, chosen: str) -> None:
        names = list(self._memory.presets(self._algorithm))
        self._is_listing = True
        self._choice.options = [
            ("Presets" if names else "No presets", ""),
            *((name, name) for name in names),
        ]
        self._choice.value = chosen if chosen in names else ""
        self._is_listing = False
        self.refresh()

    def _choose(self, change: Any) -> None:
        name = change["new"]
        if self._is_listing or not name:
            return
        self._name.value = name
        self._chosen(self._memory.presets(self._algorithm).get(name, {}))

    def _save_clicked(self) -> None:
        values, name = self._values(), self._name.value.strip()
        if values is not None and name:
            self._memory.save_preset(self._algorithm, name, values)
            self._list(name)

    def _delete_clicked(self) -> None:
        self._memory.delete_preset(self._algorithm, self._name.value.strip())
        self._list("")
