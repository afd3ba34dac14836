"""Template: a notebook with declared parameters, checked before any kernel starts."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.algorithms.declarations import Findings
from workbench.algorithms.parameters import Parameters
from workbench.batch.parameter_cell import ParameterCell, read_cell
from workbench.batch.places import is_url, read_text
from workbench.batch.python_cell import parameters_source, python_literal
from workbench.errors import InvalidTemplateError, UnsupportedError, WorkbenchError
from workbench.models import ParameterSpec
from workbench.storage.store import Store

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from workbench.algorithms import Algorithms

AlgorithmsOf = Callable[[], "Algorithms"]
PARAMETERS = "parameters"
INJECTED = "injected-parameters"
_UNTOUCHED = ("papermill", "widgets", "language_info", "signature")  # of the metadata: what running changes
_CELL_UNTOUCHED = ("papermill", "execution", "ExecuteTime", "collapsed", "scrolled", "trusted")


@dataclass(frozen=True, eq=False)
class Template:
    """A notebook whose parameters are declared; made by `load_template`.

    Parameters
    ----------
    name : str
        Name of its file, without the suffix.
    source : str
        Where it came from: a path, a URL, or ``workbench://name.ipynb``.
    notebook : NotebookNode
        As it is; nothing here changes it.
    digest : str
        BLAKE3 of what it means: cells and metadata without outputs, counts and ids.
    parameters : Parameters
    kernel, language : str
        Names of its kernel and language.
    warnings : tuple of str
        What was declared and will not be checked.
    """

    name: str
    source: str
    notebook: NotebookNode
    digest: str
    parameters: Parameters
    kernel: str
    language: str
    warnings: tuple[str, ...] = ()
    description: str = ""
    cell: ParameterCell = field(default_factory=ParameterCell, repr=False)
    has_place: bool = True

    @property
    def is_plain(self) -> bool:
        """Whether any value will do for each parameter, as for papermill: no types, no model, no algorithm."""
        return self.sets_defaults and all(spec.type == "any" for spec in self.parameters.specs)

    @property
    def sets_defaults(self) -> bool:
        """Whether the parameters cell itself sets each parameter that has a default; a model's or an algorithm's it does not."""
        return not self.cell.model and not self.notebook.metadata.get("workbench", {}).get("algorithm")

    def check(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of a run: checked, in their exact types, with the defaults filled in.

        A parameter whose default the cell computes is left out where no value is given. Where the cell could not be read, what
        it may declare is taken as it is.

        Raises
        ------
        InvalidParameterError
            With ``problems``: parameter to message, all at once.
        InvalidTemplateError
            If values are given and the notebook has no cell for them.
        UnsupportedError
            If its kernel is not installed.
        """
        if values and not self.has_place:
            named = ", ".join(map(str, values))
            raise InvalidTemplateError(
                f"Values were given ({named}), and {self.source} has no cell tagged 'parameters' to put them after. "
                "Give the cell with the defaults that tag (in JupyterLab: property inspector, cell tags)."
            )
        if self._missing_kernel:
            raise UnsupportedError(self._missing_kernel)
        unread = {k: v for k, v in values.items() if self.cell.is_unread and k not in self.parameters}
        checked = self.parameters.validate({k: v for k, v in values.items() if k not in unread}) | unread
        return {k: v for k, v in checked.items() if v is not None or k not in self.cell.computed}

    def with_parameters(self, values: Mapping[str, Any]) -> NotebookNode:
        """Return a copy of the notebook that sets these values, by papermill's conventions.

        A cell tagged ``injected-parameters`` follows the one tagged ``parameters``, or takes the place of an earlier one;
        ``metadata.papermill.parameters`` has the values; each cell has tags. Where the cell makes an instance of its pydantic
        model (``p = Params()``), the new cell makes it again with the values.

        Parameters
        ----------
        values : mapping
            Those to inject; what is left out keeps what the parameters cell says.
        """
        from nbformat import v4

        notebook = with_papermill_metadata(self.notebook)
        cell = v4.new_code_cell(source=self.injected_source(values), metadata={"tags": [INJECTED]})
        earlier = tagged(notebook, INJECTED)
        if earlier is not None:
            notebook.cells[earlier] = cell
        else:
            declared = tagged(notebook, PARAMETERS)
            notebook.cells.insert(0 if declared is None else declared + 1, cell)
        notebook.metadata.papermill["parameters"] = json.loads(json.dumps(dict(values), default=str))
        return notebook

    def injected_source(self, values: Mapping[str, Any]) -> str:
        """Return the source of the cell that sets checked values."""
        if self.language != "python":
            from papermill.translators import translate_parameters

            plain = {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}
            return str(translate_parameters(self.kernel, self.language, plain, "Parameters"))
        source = parameters_source(values, enums=self.cell.enums)
        if self.cell.model_variable:
            arguments = ", ".join(f"{name}={python_literal(value)}" for name, value in values.items())
            source += f"{self.cell.model_variable} = {self.cell.model}({arguments})\n"
        return source

    @cached_property
    def _missing_kernel(self) -> str:
        """Return what to say of a kernel that is not installed; empty if it is."""
        from workbench.batch.kernels import missing_kernel

        return missing_kernel(self.kernel, self.source)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Template) and (self.digest, self.name) == (other.digest, other.name)

    def __hash__(self) -> int:
        return hash((self.digest, self.name))

    def __repr__(self) -> str:
        head = f"Template {self.name} ({self.source}), kernel {self.kernel}"
        return "\n".join([head, repr(self.parameters), *self.warnings])

    def _repr_html_(self) -> str:
        import html

        head = f"<b>{html.escape(self.name)}</b> {html.escape(self.source)}"
        notes = "".join(f"<p>{html.escape(text)}</p>" for text in self.warnings)
        return f"<p>{head}</p>{self.parameters._repr_html_()}{notes}"


def load_template(
    ref: str | os.PathLike[str] | Template,
    store: Store | None = None,
    *,
    algorithms: AlgorithmsOf | None = None,
) -> Template:
    """Return the template at a place.

    Parameters
    ----------
    ref : str or path
        A local path, any fsspec URL, or ``workbench://name.ipynb`` in the workspace.
    store : Store, optional
        The workspace's, for ``workbench://``.
    algorithms : callable, optional
        Returns the workspace's, for templates whose metadata name one.

    Raises
    ------
    NotFoundError
        If there is nothing.
    InvalidTemplateError
        If it is no notebook, or its parameters are declared wrong; ``problems`` has all of them.
    """
    if isinstance(ref, Template):
        return ref
    source = os.fspath(ref)
    if not is_url(source):  # a run or a sweep that names it is looked at from other folders too
        source = str(Path(source).expanduser().absolute())
    return template_of(read_notebook(read_text(source, store), source), source, algorithms=algorithms)


def read_notebook(text: str, source: str) -> NotebookNode:
    """Return the notebook that a text is, in version 4.

    Raises
    ------
    InvalidTemplateError
        If it is none.
    """
    import nbformat

    try:
        content = json.loads(text)
    except ValueError as error:
        raise InvalidTemplateError(
            f"{source} is no notebook: its JSON breaks off or is wrong ({error}). Open it in JupyterLab and save it again."
        ) from None
    if not isinstance(content, dict) or ("cells" not in content and "worksheets" not in content):
        raise InvalidTemplateError(f"{source} is JSON, but no notebook: it has no cells.")
    try:
        notebook = nbformat.reads(text, as_version=4)
        nbformat.validate(notebook)
        return notebook
    except Exception as error:  # nbformat raises many kinds
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InvalidTemplateError(
            f"{source} is no valid notebook: {reason}. Open it in JupyterLab and save it again."
        ) from None


def template_of(notebook: NotebookNode, source: str, *, algorithms: AlgorithmsOf | None = None) -> Template:
    """Return a notebook as a template.

    Raises
    ------
    InvalidTemplateError
        With ``problems``.
    """
    spec = notebook.metadata.get("kernelspec", {})
    language = spec.get("language") or notebook.metadata.get("language_info", {}).get("name") or "python"
    ours = notebook.metadata.get("workbench", {})
    findings = Findings()
    cell = ParameterCell()
    at = tagged(notebook, PARAMETERS)
    if at is not None:
        several = [i for i, c in enumerate(notebook.cells) if PARAMETERS in c.metadata.get("tags", [])]
        if len(several) > 1:
            numbers = ", ".join(str(i + 1) for i in several)
            findings.warn(
                f"Cells {numbers} are tagged 'parameters'; the first one declares them, as for papermill."
            )
        if notebook.cells[at].cell_type != "code":
            findings.problem(
                f"The cell tagged 'parameters' (cell {at + 1}) is {notebook.cells[at].cell_type}. Make it a code cell."
            )
        elif language == "python":
            beside = "" if is_url(source) else str(Path(source).parent)
            cell = read_cell(notebook.cells[at].source, findings, str(ours.get("parameters", "")), beside)
        else:
            cell = _inspected(notebook, at, spec.get("name", ""), language, findings)
    if findings.problems:
        listed = "".join(f"\n- {problem}" for problem in findings.problems)
        raise InvalidTemplateError(
            f"The parameters of {source} are declared wrong:{listed}", problems=tuple(findings.problems)
        )
    specs = cell.specs
    if ours.get("algorithm"):
        specs = _with_algorithm(specs, str(ours["algorithm"]), source, algorithms)
    name = Path(source.split("://")[-1]).stem
    return Template(
        name=name,
        source=source,
        notebook=notebook,
        digest=notebook_digest(notebook),
        parameters=Parameters(specs, name, what="template"),
        kernel=str(spec.get("name") or "python3"),
        language=str(language),
        warnings=tuple(findings.warnings),
        description=_description(notebook),
        cell=cell,
        has_place=at is not None or tagged(notebook, INJECTED) is not None or bool(ours.get("algorithm")),
    )


def notebook_digest(notebook: NotebookNode) -> str:
    """Return the digest of what a notebook means: its canonical JSON without outputs, counts, ids and traces of runs."""
    from blake3 import blake3

    def kept(metadata: Mapping[str, Any], untouched: tuple[str, ...]) -> dict[str, Any]:
        # papermill adds empty tags to every cell
        return {k: v for k, v in metadata.items() if k not in untouched and (k != "tags" or v)}

    cells = [
        [cell.cell_type, cell.source, kept(cell.metadata, _CELL_UNTOUCHED)]
        for cell in notebook.cells
        if INJECTED not in cell.metadata.get("tags", [])
    ]
    content = {"cells": cells, "metadata": kept(notebook.metadata, _UNTOUCHED)}
    return blake3(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def with_papermill_metadata(notebook: NotebookNode) -> NotebookNode:
    """Return a copy of a notebook with the metadata that papermill gives what it loads."""
    from nbformat import v4

    copy = deepcopy(notebook)
    copy = v4.upgrade(copy) or copy
    if "papermill" not in copy.metadata:
        copy.metadata["papermill"] = type(copy.metadata)(
            default_parameters={}, parameters={}, environment_variables={}, version=_papermill_version()
        )
    for cell in copy.cells:
        cell.metadata.setdefault("tags", [])
        cell.metadata.setdefault("papermill", type(cell.metadata)())
    return copy


@cache
def _papermill_version() -> str:
    from importlib.metadata import version

    return version("papermill")


def _with_algorithm(
    specs: list[ParameterSpec], ref: str, source: str, algorithms: AlgorithmsOf | None
) -> list[ParameterSpec]:
    """Return the parameters of the cell and, after them, those of the algorithm; a default in the cell wins if it fits."""
    if algorithms is None:
        return specs  # no workspace to ask: the cell's own declarations stand
    try:
        declared = algorithms().get(ref).parameters
    except WorkbenchError as error:
        raise InvalidTemplateError(
            f"{source} takes its parameters from the algorithm {ref!r}: {error} Deploy it, or name another one under "
            "workbench.algorithm in the notebook's metadata."
        ) from None
    own = {spec.name: spec for spec in specs}
    for spec in declared.specs:
        given = own.get(spec.name)
        if given is None or given.default is None or declared.check(spec.name, given.default):
            own[spec.name] = spec
        else:
            own[spec.name] = spec.model_copy(
                update={"default": declared.validate({spec.name: given.default})[spec.name]}
            )
    return list(own.values())


def _inspected(
    notebook: NotebookNode, at: int, kernel: str, language: str, findings: Findings
) -> ParameterCell:
    """Return what papermill finds in the cell of another language: names and help, of any type."""
    from papermill.exceptions import PapermillException
    from papermill.translators import papermill_translators

    try:
        found = papermill_translators.find_translator(kernel, language).inspect(notebook.cells[at])
    except NotImplementedError:
        findings.warn(
            f"Parameters in {language} are not read, so names and values are not checked before a run."
        )
        return ParameterCell(is_unread=True)
    except PapermillException:
        findings.warn(f"papermill writes no parameters in {language}, so there are none.")
        return ParameterCell()
    specs = [ParameterSpec(name=p.name, type="any", description=p.help, optional=True) for p in found]
    return ParameterCell(specs, frozenset(spec.name for spec in specs))


def tagged(notebook: NotebookNode, tag: str) -> int | None:
    """Return the position of the first cell with this tag."""
    return next((i for i, c in enumerate(notebook.cells) if tag in c.metadata.get("tags", [])), None)


def _description(notebook: NotebookNode) -> str:
    """Return the first paragraph below the title."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            lines = [line.strip() for line in cell.source.split("\n\n") if not line.lstrip().startswith("#")]
            if lines and lines[0]:
                return " ".join(lines[0].split())
    return ""
