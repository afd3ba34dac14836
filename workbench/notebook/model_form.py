"""A form that adds a model to the entries: its file, errors, measure of uncertainty and metadata, each with its rule."""

from __future__ import annotations

import html
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from workbench.algorithms.parameters import Parameters
from workbench.errors import InvalidInputError, NotFoundError, WorkbenchError
from workbench.library import entry_files
from workbench.library.entry_facts import (
    MODEL_KEYS,
    NUMBERS,
    UQ_AGGREGATES,
    UQ_TYPES,
    check_number,
    checked_metadata,
    model_metadata,
)
from workbench.models import EntryKind, ParameterSpec
from workbench.names import check_name
from workbench.notebook.fields import TypedField
from workbench.notebook.parameter_rows import ParameterRow, grid_of
from workbench.notebook.style import CSS
from workbench.notebook.widget_tree import close_below
from workbench.pages import html_table

if TYPE_CHECKING:
    from workbench.library.entries import Entries
    from workbench.library.entry import Entry

SUFFIXES = (".pt", ".pth", ".ts", ".safetensors")
_MOST = 200  # files that are suggested
_SPECS = (
    ParameterSpec(name="domain", description="What the model is of; a new one is made by naming it"),
    ParameterSpec(name="file", description="TorchScript or safetensors; nothing in it is executed"),
    ParameterSpec(
        name="val_error",
        type="float",
        optional=True,
        description="On validation data; models are ranked by it",
    ),
    ParameterSpec(name="test_error", type="float", optional=True, description="On test data"),
    ParameterSpec(
        name="threshold",
        type="float",
        optional=True,
        description="Of the uncertainty: above it a prediction is not used",
    ),
    ParameterSpec(
        name="uq_type",
        type="string_enum",
        options=UQ_TYPES,
        optional=True,
        description="How uncertainty is measured",
    ),
    ParameterSpec(
        name="uq_aggregate",
        type="string_enum",
        options=UQ_AGGREGATES,
        optional=True,
        description="Of the outputs' uncertainties; deltaUQ and faiss need it",
    ),
    ParameterSpec(
        name="metadata", default="", description="key=value, one a line; numbers, True and False are typed"
    ),
    ParameterSpec(
        name="keep a copy",
        type="bool",
        default=True,
        description="In the workspace; else only the place of the file is noted",
    ),
)


class ModelForm(widgets.VBox):  # type: ignore[misc]
    """A form that adds a model.

    Parameters
    ----------
    entries : Entries
    domain, path : str, optional
        To begin with.

    Attributes
    ----------
    added : Entry or None
        The last model that it added.
    """

    def __init__(self, entries: Entries, domain: str = "", path: str = "") -> None:
        self._entries = entries
        self.added: Entry | None = None
        self._is_ready = False
        self._seen: tuple[Any, InvalidInputError | None] = (
            None,
            None,
        )  # the last file, and what is wrong with it
        parameters = Parameters(_SPECS)
        self._domain = _box("such as eos")
        self._file = _box("net.pt")
        fields = {"domain": _text(self._domain), "file": _text(self._file)}
        self._rows = {
            spec.name: ParameterRow(spec, parameters, self._changed, fields.get(spec.name)) for spec in _SPECS
        }
        self._button = widgets.Button(
            description="Add model", icon="plus", button_style="primary", layout={"width": "auto"}
        )
        self._button.on_click(lambda _: self.add())
        self._reason = widgets.HTML(layout={"flex": "1 1 0", "min_width": "0"})
        self._code = widgets.HTML()
        self._ranking = widgets.HTML()
        for part in (self._code, self._ranking):
            part.add_class("wb-table")
        head = widgets.HTML("<b>Add a model</b>")
        head.add_class("wb-head")
        style = widgets.HTML(CSS)
        style.add_class("wb-style")
        line = widgets.HBox(
            [self._button, self._reason], layout={"align_items": "center", "margin": "4px 0 0"}
        )
        rows = list(self._rows.values())
        super().__init__(
            [style, head, grid_of(rows), line, self._code, self._ranking], layout={"width": "100%"}
        )
        self.add_class("wb-form")
        self.add_class("wb-no-units")
        for row in rows:
            row.reset()
        for name, value in (("domain", domain), ("file", path)):
            if value:
                self._rows[name].field.write(value)
        self._is_ready = True
        self._changed()

    @property
    def values(self) -> dict[str, Any]:
        """What the fields say; those without a right value are left out."""
        return {name: row.value for name, row in self._rows.items() if row.has_value and not row.problem}

    @property
    def problem(self) -> str | None:
        """Why nothing can be added yet: the first wrong field; None if all is right."""
        return next((f"{name}: {row.problem}" for name, row in self._rows.items() if row.problem), None)

    def write(self, **values: Any) -> None:
        """Show values in the fields of these names."""
        for name, value in values.items():
            self._rows[name].field.write(value)

    def code(self) -> str:
        """Return the call that does what a click on the button does."""
        values = self.values
        words = [repr(values.get("domain")), repr(values.get("file"))]
        words += [f"{key}={values[key]!r}" for key in MODEL_KEYS if values.get(key) is not None]
        metadata = _metadata(values.get("metadata", ""))
        words += [f"metadata={metadata!r}"] if metadata else []
        words += ["copy=False"] if values.get("keep a copy") is False else []
        own = self._entries.application
        of = "" if own == "workspace" else f".of({own!r})"
        return f"ws.entries{of}.add_model({', '.join(words)})"

    def add(self) -> None:
        """Add the model; what is wrong with its file is shown in the form."""
        if self.problem:
            return
        values = self.values
        self._button.disabled = True
        try:
            self.added = self._entries.add_model(
                values["domain"],
                values["file"],
                metadata=_metadata(values["metadata"]),
                copy=values["keep a copy"],
                **{key: values.get(key) for key in MODEL_KEYS},
            )
        except WorkbenchError as error:
            self._say(str(error), bad=True)
            return
        finally:
            self._button.disabled = False
        self._changed()
        self._say(f"Added {self.added.ref}.")

    def close(self) -> None:
        """Take the widgets away."""
        close_below(self)
        super().close()

    def __repr__(self) -> str:
        return f"Form to add a model: {self.code()}"

    # -- what changes

    def _changed(self) -> None:
        if not self._is_ready:
            return
        self._complain("domain", lambda text: check_name(text, "Domain"))
        self._complain("file", self._check_file)
        self._complain("metadata", _check_metadata)
        for key in NUMBERS:
            self._complain(key, partial(check_number, key))
        self._complain("uq_aggregate", self._check_facts)
        self._domain.options = self._entries.domains()
        self._file.options = _suggested(self._file.value)
        problem = self.problem
        self._button.disabled = problem is not None
        if problem:
            self._say(problem, bad=True)
        else:
            number = self._entries.next_version(self.values["domain"], "models")
            self._say(f"It becomes {self.values['domain']}/models version {number}.")
        self._code.value = "" if problem else f"<pre>{html.escape(self.code())}</pre>"
        self._rank()

    def _complain(self, name: str, check: Any) -> None:
        """Show at a row what is wrong with its value in this workspace."""
        row = self._rows[name]
        if not row.has_value:
            return
        try:
            check(row.value)
            row.complain(None)
        except (InvalidInputError, NotFoundError, ValueError) as error:
            text = str(error)
            if name == "file":  # the folder is beside the message, in the field
                text = text.replace(f"{Path(row.value).expanduser().absolute().parent}/", "")
            row.complain(text)

    def _check_facts(self, aggregate: str | None) -> None:
        facts = {"uq_type": self.values.get("uq_type"), "uq_aggregate": aggregate}
        checked_metadata(EntryKind.MODELS, {key: v for key, v in facts.items() if v is not None})

    def _check_file(self, text: str) -> None:
        """Raise if there is no such file, or it is no model; it is read once as long as nobody writes to it."""
        path = entry_files.checked_file(text)
        state = path.stat()
        seen = (str(path), state.st_mtime_ns, state.st_size)
        if self._seen[:1] != (seen,):
            problem = None
            try:
                entry_files.check_file(path, EntryKind.MODELS)
            except InvalidInputError as error:
                problem = error
            self._seen = (seen, problem)
        if self._seen[1] is not None:
            raise self._seen[1]

    def _say(self, text: str, *, bad: bool = False) -> None:
        self._reason.value = f'<span class="{"wb-bad" if bad else "wb-muted"}">{html.escape(text)}</span>'

    def _rank(self) -> None:
        """Show the models of the domain, best first."""
        domain = self.values.get("domain")
        known = domain in self._domain.options
        best = self._entries.search(None, domain, "models", order="val_error", limit=10) if known else []
        rows = ranked(best, self.added)
        self._ranking.value = (
            f"<div class='wb-title'>Models of {html.escape(str(domain))}, best first</div>{html_table(rows)}"
            if rows
            else ""
        )


def ranked(models: Any, added: Entry | None = None) -> list[dict[str, Any]]:
    """Return rows of models in their order, with their place; the one that was added is marked."""
    rows = []
    known = [key for key in MODEL_KEYS if any(key in model.metadata for model in models)]
    for place, model in enumerate(models, 1):
        mark = " (added)" if added is not None and added.id == model.id else ""
        facts = {key: model.metadata.get(key) for key in known}
        rows.append({"": place, "model": f"{model.name}{mark}", "version": model.version, **facts})
    return rows


def _box(placeholder: str) -> Any:
    return widgets.Combobox(
        placeholder=placeholder, ensure_option=False, continuous_update=True, layout={"width": "100%"}
    )


def _text(box: Any) -> TypedField:
    return TypedField(lambda text: text.strip(), str, box)


def _suggested(text: str) -> Sequence[str]:
    """Return the model files in the folder that is being typed, as they would be typed."""
    start = text if text.endswith("/") or not text else str(Path(text).parent)
    folder = Path(start or ".").expanduser()
    try:
        found = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES or path.is_dir())
    except OSError:
        return []
    begin = "" if start in ("", ".") else f"{start.rstrip('/')}/"
    visible = [path for path in found if not path.name.startswith((".", "__"))]
    return [f"{begin}{path.name}{'/' if path.is_dir() else ''}" for path in visible[:_MOST]]


def _check_metadata(text: str) -> None:
    facts = model_metadata(_metadata(text), **dict.fromkeys(MODEL_KEYS))
    checked_metadata(EntryKind.MODELS, facts)


def _metadata(text: str) -> dict[str, Any]:
    from workbench.commands.entries import read_metadata

    pairs: dict[str, str] = {}
    for line in text.splitlines():
        key, sign, value = line.partition("=")
        if line.strip():
            if not sign or not key.strip():
                raise InvalidInputError(f"{line.strip()!r} is no key=value. Write such as layers=3.")
            pairs[key.strip()] = value.strip()
    return read_metadata(pairs)
