"""A new cell below a form: the code that repeats a click, and the way it gets into the notebook.

A kernel can propose a cell only in reply to an executed one, and a click executes none. So JupyterLab is asked in the
browser, where it holds the notebook; a front end that cannot do it says so, and the form shows the code to copy.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import anywidget

from workbench.algorithms.parameters import Parameters
from workbench.commands.words import split_words, write_call
from workbench.errors import InvalidInputError, InvalidParameterError

MAX_LINE = 110

_ESM = """
function holds(output, form) {
  const view = output.data && output.data["application/vnd.jupyter.widget-view+json"];
  return Boolean(view) && view.model_id === form;
}
function insert(model, request) {
  const context = model.widget_manager && model.widget_manager.context;
  const notebook = context && context.model && context.model.sharedModel;
  if (!notebook || typeof notebook.insertCell !== "function") return false;
  let at = notebook.cells.findIndex(
    (cell) => cell.cell_type === "code" && cell.getOutputs().some((output) => holds(output, request.form)));
  if (at < 0) at = notebook.cells.length - 1;
  notebook.insertCell(at + 1, { cell_type: "code", source: request.code, metadata: { trusted: true } });
  return true;
}
export default {
  initialize({ model }) {
    model.on("msg:custom", (request) => {
      if (request.kind !== "insert") return;
      let inserted = false;
      try { inserted = insert(model, request); } catch (error) { console.error("workbench: no cell inserted", error); }
      model.send({ kind: "answer", inserted });
    });
  },
};
"""


class CellInserter(anywidget.AnyWidget):  # type: ignore[misc]
    """Asks the front end for a new cell below the cell that shows a form."""

    _esm = _ESM

    def __init__(self, answered: Callable[[bool], None]) -> None:
        super().__init__(layout={"display": "none"})
        self.on_msg(lambda widget, content, buffers: self._heard(content, answered))

    def ask(self, form_id: str, code: str) -> None:
        """Send the code; whether it became a cell is answered later."""
        self.send({"kind": "insert", "form": form_id, "code": code})

    @staticmethod
    def _heard(content: Any, answered: Callable[[bool], None]) -> None:
        if isinstance(content, dict) and content.get("kind") == "answer":
            answered(bool(content.get("inserted")))


def cell_code(
    algorithm: str,
    inputs: Sequence[str],
    values: Mapping[str, Any],
    parameters: Parameters,
    *,
    background: bool = False,
) -> str:
    """Return the cell that repeats a run: a line where that says all exactly and is short, else a cell with a YAML body.

    >>> from workbench.models import ParameterSpec
    >>> cell_code("denoise@1.0", ["volume"], {"sigma": 2.0}, Parameters([ParameterSpec(name="sigma", type="float")]))
    '%algorun denoise@1.0 volume sigma=2.0'
    """
    line = write_call(algorithm, inputs, values)
    if not values or (len(line) <= MAX_LINE and _says_all(line, inputs, values, parameters)):
        return _in_background(line) if background else line
    # JSON is YAML, except for floats such as 1e-05, which YAML reads only with a point
    body = "".join(f"{name}: {_yaml(value)}\n" for name, value in values.items())
    line = "%" + write_call(algorithm, inputs, {})
    return (_in_background(line) if background else line) + "\n" + body.rstrip("\n")


def _in_background(line: str) -> str:
    return line.replace("%algorun ", "%algorun -b ", 1)


def _says_all(line: str, inputs: Sequence[str], values: Mapping[str, Any], parameters: Parameters) -> bool:
    # IPython would expand $name and {name}, and take a last ? as a call for help
    if any(sign in line for sign in "\n\r${") or line.endswith("?"):
        return False
    try:
        words, texts = split_words(shlex.split(line)[2:])
        read = {name: parameters.parse(name, text) for name, text in texts.items()}
    except (ValueError, InvalidInputError, InvalidParameterError):
        return False
    return words == list(inputs) and list(map(repr, read.items())) == list(map(repr, values.items()))


def _yaml(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_yaml, value))}]"
    if isinstance(value, float):
        text = repr(value)
        if text in {"inf", "-inf", "nan"}:
            return text.replace("inf", ".inf").replace("nan", ".nan")
        mantissa, e, exponent = text.partition("e")
        return text if not e or "." in mantissa else f"{mantissa}.0e{exponent}"
    return json.dumps(value)
