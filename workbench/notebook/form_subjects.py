"""What a form is of: an algorithm, or a template. What the form needs to know of it, and how it is run."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from workbench.algorithms.runnable import resolve
from workbench.batch.template import Template
from workbench.execution.reuse import NEVER, is_deterministic
from workbench.notebook.insert_cell import cell_code

if TYPE_CHECKING:
    from workbench.algorithms.algorithm import Algorithm
    from workbench.algorithms.parameters import Parameters
    from workbench.execution.run import Run
    from workbench.workspace import Workspace


class Subject(ABC):
    """What a form is of.

    Attributes
    ----------
    name : str
        Under which values and presets are remembered.
    label, description, facts : str
        What the form's head says: its name with the version, a sentence, and what is worth knowing in small print.
    parameters : Parameters
    takes_inputs : bool
        Whether it is run on datasets and arrays.
    only_in_background : bool
        Whether each run gets a process of its own.
    """

    name: str
    label: str
    description: str
    facts: str
    parameters: Parameters
    takes_inputs = True
    only_in_background = False

    @property
    def offers_reuse(self) -> bool:
        """Whether a run that is known is offered in place of a new one."""
        return False

    def find(self, inputs: Sequence[Any], values: Mapping[str, Any]) -> Run | None:
        """Return the completed run that can stand for this one."""
        return None

    @abstractmethod
    def start(self, inputs: Sequence[Any], values: Mapping[str, Any], *, background: bool, reuse: str) -> Run:
        """Run it and return at once."""

    @abstractmethod
    def code(self, words: Sequence[str], values: Mapping[str, Any], *, background: bool) -> str:
        """Return the cell that repeats a run."""


class AlgorithmSubject(Subject):
    """An algorithm, deployed or in its folder."""

    def __init__(self, workspace: Workspace, algorithm: str | os.PathLike[str] | Algorithm) -> None:
        self._workspace = workspace
        self._algorithm = resolve(workspace.algorithms, algorithm)
        revision = self._algorithm.revision
        self.name, self.label, self.description = revision.name, self._algorithm.label, revision.description
        self.parameters = self._algorithm.parameters
        others = [name for name in revision.supported_devices if name != revision.default_device]
        also = f" (also {', '.join(others)})" if others else ""
        self.facts = f"{revision.type} · {revision.default_device}{also}"

    @property
    def offers_reuse(self) -> bool:
        """Whether it is neither taken unasked nor worth nothing."""
        deployed, revision = self._algorithm.is_deployed, self._algorithm.revision
        return self._workspace.settings.reuse == NEVER and deployed and is_deterministic(revision)

    def find(self, inputs: Sequence[Any], values: Mapping[str, Any]) -> Run | None:
        """Return the completed run that computed the same."""
        return self._workspace.find_run(self._algorithm, _one_or_all(inputs), values)

    def start(self, inputs: Sequence[Any], values: Mapping[str, Any], *, background: bool, reuse: str) -> Run:
        """Run it on the inputs."""
        return self._workspace.run(
            self._algorithm,
            _one_or_all(inputs),
            values,
            executor="process" if background else None,
            reuse=reuse,
            wait=False,
        )

    def code(self, words: Sequence[str], values: Mapping[str, Any], *, background: bool) -> str:
        """Return a cell with ``%algorun``."""
        return cell_code(self._reference(), words, values, self.parameters, background=background)

    def _reference(self) -> str:
        """Return ``name@1.0`` while that is this revision, else the revision's id; the folder of one not deployed."""
        revision = self._algorithm.revision
        if not self._algorithm.is_deployed:
            return self._algorithm.label
        newest = self._workspace.algorithms.get(revision.ref)
        return revision.ref if newest.revision.id == revision.id else revision.id


class TemplateSubject(Subject):
    """A template: a notebook that is run with these parameters, always in a process of its own."""

    takes_inputs = False
    only_in_background = True

    def __init__(self, workspace: Workspace, template: Template) -> None:
        self._workspace = workspace
        self._template = template
        self.name = f"{template.name}.ipynb"  # an algorithm of that name is something else
        self.label, self.description = self.name, template.description
        self.parameters = template.parameters
        self.facts = f"template · {template.kernel}"

    def start(self, inputs: Sequence[Any], values: Mapping[str, Any], *, background: bool, reuse: str) -> Run:
        """Run the notebook."""
        runs: Any = self._workspace
        run: Run = runs.run_template(self._template, self._template.check(values), wait=False)
        return run

    def code(self, words: Sequence[str], values: Mapping[str, Any], *, background: bool) -> str:
        """Return a cell of Python."""
        return (
            f"import workbench\n\nrun = workbench.current().run_template({self._template.source!r}, "
            f"{self._template.check(values)!r}, wait=False)\nrun"
        )


def subject_of(workspace: Workspace, what: str | os.PathLike[str] | Algorithm | Template) -> Subject:
    """Return what a form is of: a template, the path, URL or name of one (``.ipynb``), else an algorithm.

    Raises
    ------
    NotFoundError, InvalidTemplateError
        If it is none of these, or a notebook that is no template.
    """
    if isinstance(what, Template) or (isinstance(what, (str, os.PathLike)) and is_notebook(os.fspath(what))):
        return TemplateSubject(workspace, workspace.templates.load(what))
    return AlgorithmSubject(workspace, what)


def is_notebook(text: str) -> bool:
    """Tell whether a word names a template and no algorithm."""
    return text.endswith(".ipynb") or text.startswith("workbench://")


def _one_or_all(given: Sequence[Any]) -> Any:
    """Return one input by itself, as alg(volume) passes it: a 3-D array is then a stack."""
    return given[0] if len(given) == 1 else tuple(given)
