"""The inputs of a form: rows that take a variable, a dataset or a file, and say what they found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from workbench.commands.words import read_inputs
from workbench.errors import InvalidInputError, NotFoundError
from workbench.notebook.parameter_rows import say

if TYPE_CHECKING:
    from workbench.workspace import Workspace

MAX_OFFERED = 100


class InputRow:
    """One input: a box with offers, a button that removes the row, and what the text stands for."""

    def __init__(self, text: str) -> None:
        self.label = widgets.HTML()
        self.label.add_class("wb-label")
        self.box = widgets.Combobox(
            value=text, placeholder="variable, dataset or file", layout={"width": "100%"}
        )
        self.box.add_class("wb-input")
        self.remove = widgets.Button(icon="times", tooltip="Remove this input", layout={"width": "32px"})
        self.say = widgets.HTML()
        self.say.add_class("wb-say")
        self.problem: str | None = None

    def cells(self) -> list[Any]:
        """Return its widgets, in the columns of the form's grid."""
        return [self.label, self.box, self.remove, self.say]

    def close(self) -> None:
        """Take the widgets away."""
        for widget in self.cells():
            widget.close()


class InputRows:
    """The inputs of a form.

    Parameters
    ----------
    workspace : Workspace
    namespace : callable
        Returns the user's variables as they are now.
    inputs : sequence
        What to begin with: arrays, Datasets, paths, ids, names.
    changed : callable
        Called after every change.
    """

    def __init__(
        self,
        workspace: Workspace,
        namespace: Callable[[], Mapping[str, Any]],
        inputs: Sequence[Any],
        changed: Callable[[], None],
    ) -> None:
        self._workspace = workspace
        self._namespace = namespace
        self._changed = changed
        self._held: dict[
            str, Any
        ] = {}  # given arrays that no variable holds, by the text that stands for them
        self._offers: dict[str, str] = {}  # offer -> word
        self._rows: list[InputRow] = []
        self._add = widgets.Button(description="Add input", icon="plus", layout={"width": "110px"})
        self._add.add_class("wb-add")
        self._add.on_click(lambda button: self.add())
        self.grid = widgets.GridBox()
        self.grid.add_class("wb-grid")
        self.widget = widgets.VBox([self.grid, self._add])
        for given in inputs or [""]:
            self.add(given)

    def words(self) -> list[str]:
        """Return what was typed, without the empty rows."""
        return [word for row in self._rows if (word := row.box.value.strip())]

    def values(self) -> list[Any]:
        """Return what the words stand for: arrays, Datasets, paths.

        Raises
        ------
        NotFoundError, InvalidInputError
            For a word that stands for nothing.
        """
        namespace = self._namespace()
        return [
            self._held[word] if word in self._held else read_inputs(self._workspace, [word], namespace)[0]
            for word in self.words()
        ]

    def quick_values(self, most_bytes: int) -> list[Any] | None:
        """Return what the words stand for, if to read and hash all of it is quick: nothing computed, no file."""
        namespace = self._namespace()
        values = []
        for word in self.words():
            value = self._held.get(word, namespace.get(word))
            if value is None:
                try:
                    value = self._workspace.datasets.find(word)
                except (NotFoundError, InvalidInputError):
                    return None
            most_bytes -= getattr(value, "nbytes", most_bytes + 1)
            values.append(value)
        return values if most_bytes >= 0 else None

    @property
    def problem(self) -> str | None:
        """What is wrong with the first wrong row."""
        return next((f"{row.label.value}: {row.problem}" for row in self._rows if row.problem), None)

    @property
    def unnamed(self) -> str | None:
        """The first input that no cell can name, because no variable holds it."""
        return next((word for word in self.words() if word in self._held), None)

    def add(self, given: Any = "") -> None:
        """Add a row."""
        row = InputRow(self._word_for(given))
        row.box.observe(lambda change: self._typed(row), "value")
        row.remove.on_click(lambda button: self._remove(row))
        self._rows.append(row)
        self._arrange()
        self._look(row)

    def set_words(self, words: Iterable[str]) -> None:
        """Replace the rows."""
        for row in self._rows:
            row.close()
        self._rows = []
        for word in words:
            self.add(word)
        if not self._rows:
            self.add()

    def refresh(self) -> None:
        """Look again at what the words stand for: cells have run since."""
        for row in self._rows:
            self._look(row)

    def _remove(self, row: InputRow) -> None:
        if row not in self._rows:
            return
        self._rows.remove(row)
        row.close()
        if not self._rows:
            self.add()
        self._arrange()
        self._changed()

    def _arrange(self) -> None:
        for number, row in enumerate(self._rows, 1):
            row.label.value = f"Input {number}" if len(self._rows) > 1 else "Input"
        self.grid.children = [cell for row in self._rows for cell in row.cells()]

    def _typed(self, row: InputRow) -> None:
        word = self._offers.get(row.box.value)
        if word is not None and word != row.box.value:
            row.box.value = word  # an offer was taken: "volume  10 x 64 x 64 float32" becomes "volume"
            return
        self._look(row)
        self._changed()

    def _look(self, row: InputRow) -> None:
        word = row.box.value.strip()
        try:
            found, row.problem = self._describe(word) if word else "", None
        except (NotFoundError, InvalidInputError) as error:
            found, row.problem = "", str(error).split(". Pass ")[0]
        row.say.value = say(found, row.problem)
        (row.box.add_class if row.problem else row.box.remove_class)("wb-wrong")
        self._offer(row, word)

    def _offer(self, row: InputRow, word: str) -> None:
        arrays = {
            f"{name}   {array_text(value)}": name
            for name, value in list(self._namespace().items())
            if not name.startswith("_") and is_array(value)
        }
        datasets = {name: name for name in self._workspace.datasets.names(word)}
        self._offers = {**arrays, **datasets}
        options = tuple(self._offers)[:MAX_OFFERED]
        if options != row.box.options:
            row.box.options = options

    def _describe(self, word: str) -> str:
        if word in self._held:
            return array_text(self._held[word])
        namespace = self._namespace()
        base = word.split("[")[0].split(".")[0].split("(")[0].strip()
        if base != word and base in namespace:
            return "computed at Run"
        [value] = read_inputs(self._workspace, [word], namespace)
        if isinstance(value, Path):
            return "folder" if value.is_dir() else f"file, {_size(value.stat().st_size)}"
        if is_array(value):
            return array_text(value)
        if hasattr(value, "id") and hasattr(value, "nbytes"):
            return f"dataset, {_size(value.nbytes)}"
        if isinstance(value, (list, tuple, dict)):
            return f"{type(value).__name__} of {len(value)}"
        raise InvalidInputError(
            f"{word!r} is a {type(value).__name__}, expected an array, a dataset or a file"
        )

    def _word_for(self, given: Any) -> str:
        if isinstance(given, (str, Path)):
            return str(given)
        if hasattr(given, "id") and hasattr(given, "digest"):  # a Dataset
            name = given.name
            is_newest = name and self._workspace.datasets.find(name).id == given.id
            return str(name if is_newest else given.id)
        for name, value in list(self._namespace().items()):
            if value is given and not name.startswith("_") and name.isidentifier():
                return name
        word = f"<{type(given).__name__} {len(self._held) + 1}>"
        self._held[word] = given
        return word


def is_array(value: Any) -> bool:
    """Tell whether a variable is an array with at least one axis; asks nothing of objects that are none."""
    kind = type(value)
    if isinstance(value, type) or not (hasattr(kind, "shape") and hasattr(kind, "dtype")):
        return False
    try:
        return len(value.shape) > 0
    except Exception:  # a closed file, a broken proxy
        return False


def array_text(value: Any) -> str:
    """Return shape and dtype: ``10 x 64 x 64 float32``."""
    shape = " x ".join(map(str, getattr(value, "shape", ())))
    return f"{shape} {str(getattr(value, 'dtype', type(value).__name__)).removeprefix('torch.')}".strip()


def _size(nbytes: int) -> str:
    size = float(nbytes)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
