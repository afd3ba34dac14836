"""What a sweep runs at each point: an algorithm, or a template. Both look the same from above."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, Protocol

from workbench.batch.places import SCHEME
from workbench.errors import NotFoundError, UnsupportedError, WorkbenchError
from workbench.execution.devices import choose_device, preferred_device
from workbench.execution.events import RunEvent
from workbench.execution.inputs import Inputs
from workbench.execution.member import Member
from workbench.execution.reuse import NEVER, Reuse, checked_mode, key_of
from workbench.execution.run import Run
from workbench.models import RunRecord, SweepPoint, SweepRecord

if TYPE_CHECKING:
    from workbench.algorithms.algorithms import Algorithms
    from workbench.algorithms.parameters import Parameters
    from workbench.algorithms.runnable import Runnable
    from workbench.batch.template import Template
    from workbench.library.datasets import Datasets
    from workbench.settings import Settings

Listener = Callable[[RunEvent], None]


class AnyTemplate(Protocol):
    """A notebook with parameters, as far as sweeps know it."""

    @property
    def source(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def digest(self) -> str: ...

    @property
    def parameters(self) -> Parameters: ...

    def check(self, values: Mapping[str, Any]) -> dict[str, Any]: ...


class Target(ABC):
    """What is run."""

    #: how it is looked up again: a reference, a folder, a path
    what: str
    #: how it is shown
    label: str
    #: digest of what its results depend on, beside parameters and inputs
    content: str
    kind: Literal["algorithm", "template"]
    parameters: Parameters

    @abstractmethod
    def check(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of a point with all defaults.

        Raises
        ------
        InvalidParameterError
            With ``problems``.
        """

    @abstractmethod
    def check_place(self, executor: str, device: str | None, setting: str) -> None:
        """Refuse an executor or a device on which this cannot be run.

        Parameters
        ----------
        executor : str
        device : str, optional
            As it was asked for.
        setting : str
            The setting ``device``.

        Raises
        ------
        UnsupportedError
        """

    @abstractmethod
    def start(self, sweep: SweepRecord, point: SweepPoint, member: Member, listener: Listener) -> Run:
        """Start the run of a point and return at once."""

    @abstractmethod
    def has_computed(self, record: RunRecord) -> bool:
        """Tell whether a completed run computed what this would compute now, although the content is another one."""


class AlgorithmTarget(Target):
    """An algorithm, deployed or still a folder.

    Parameters
    ----------
    what : str
    chosen : Runnable
    run : callable
        ``Workspace.run``.
    reuse : Reuse
    datasets : Datasets
    """

    kind: Literal["algorithm", "template"] = "algorithm"

    def __init__(
        self, what: str, chosen: Runnable, run: Callable[..., Run], reuse: Reuse, datasets: Datasets
    ) -> None:
        self.what = what
        self.label = chosen.label
        self.content = chosen.revision.content
        self.parameters = chosen.parameters
        self._chosen = chosen
        self._run = run
        self._reuse = reuse
        self._datasets = datasets

    def check(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return self.parameters.validate(values)

    def check_place(self, executor: str, device: str | None, setting: str) -> None:
        revision = self._chosen.revision
        wanted = device or preferred_device(setting, revision.supported_devices)
        choose_device(wanted, revision.supported_devices, revision.default_device, revision.ref)

    def store_inputs(self, given: Sequence[Any], reuse: str) -> list[tuple[str, ...]]:
        """Store what is new among the inputs, once for all points that have them, and return the ids of each.

        Nothing is stored unless all of them are inputs.

        Raises
        ------
        InvalidInputError, InvalidDataError, NotFoundError
            For something that is no input; with ``reuse``, for a wrong mode.
        """
        mode = checked_mode(reuse, self._chosen, debug=False)
        checked = [Inputs(inputs, self._chosen.revision.type, self._datasets) for inputs in given]
        for inputs in checked if mode != NEVER else ():
            inputs.take_stored()
        return [tuple(inputs.store()) for inputs in checked]

    def start(self, sweep: SweepRecord, point: SweepPoint, member: Member, listener: Listener) -> Run:
        return self._run(
            self._chosen,
            list(point.inputs or sweep.inputs),
            point.parameters,
            executor=sweep.executor,
            device=sweep.device,
            timeout_s=sweep.timeout_s,
            retries=sweep.retries,
            reuse=sweep.reuse,
            wait=False,
            priority=sweep.priority,
            tags=sweep.tags,
            on_event=listener,
            _member=member,
        )

    def has_computed(self, record: RunRecord) -> bool:
        if not record.reuse_key:
            return False
        given = Inputs(list(record.inputs), self._chosen.revision.type, self._datasets)
        parts = self._reuse.parts(self._chosen, self.check(record.parameters), given, record.device)
        return bool(parts) and key_of(parts) == record.reuse_key


class TemplateTarget(Target):
    """A notebook.

    Parameters
    ----------
    template : Template
    run : callable
        ``Workspace.run_template``.
    """

    kind: Literal["algorithm", "template"] = "template"

    def __init__(self, template: AnyTemplate, run: Callable[..., Run]) -> None:
        self.what = template.source
        self.label = template.name
        self.content = template.digest
        self.parameters = template.parameters
        self._template = template
        self._run = run

    def check(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return self._template.check(values)

    def check_place(self, executor: str, device: str | None, setting: str) -> None:
        if device is not None:
            raise UnsupportedError(
                f"device is {device!r}, but template {self.label!r} has none: its cells choose theirs. Leave it out, or declare "
                "a parameter for it, such as device: str = 'cpu'."
            )
        if executor == "kernel":
            raise UnsupportedError(
                f"Template {self.label!r} cannot be run in this kernel: a notebook is run in a process of its own. "
                "Pass executor='process' (-x process), with a workspace that other processes can open: a folder or S3."
            )

    def start(self, sweep: SweepRecord, point: SweepPoint, member: Member, listener: Listener) -> Run:
        return self._run(
            self._template,
            point.parameters,
            executor=sweep.executor,
            wait=False,
            timeout_s=sweep.timeout_s,
            retries=sweep.retries,
            reuse=sweep.reuse,
            priority=sweep.priority,
            tags=sweep.tags,
            on_event=listener,
            _member=member,
        )

    def has_computed(self, record: RunRecord) -> bool:
        return False  # another digest is another notebook: what a cell means is not looked into


def is_template(what: Any) -> bool:
    """Tell whether a sweep's subject is a notebook: one that was loaded, or the path or URL of one."""
    if isinstance(what, (str, os.PathLike)):
        return os.fspath(what).casefold().endswith(".ipynb")
    return hasattr(what, "notebook") and hasattr(what, "check")


def subject_of(algorithms: Algorithms, what: Any) -> tuple[str, Runnable]:
    """Return the text that names an algorithm again, and the algorithm.

    Raises
    ------
    NotFoundError, InvalidAlgorithmError
        If it names nothing, or a folder that is no algorithm.
    """
    from workbench.algorithms.runnable import resolve

    chosen = resolve(algorithms, what)
    if not chosen.is_deployed:
        return chosen.label, chosen
    return (what if isinstance(what, str) else chosen.label), chosen


class Targets:
    """Finds what a sweep is to run.

    Parameters
    ----------
    algorithms : Algorithms
    reuse : Reuse
    datasets : Datasets
    settings : Settings
    run : callable
        ``Workspace.run``.
    run_template : callable, optional
        ``Workspace.run_template``.
    load_template : callable, optional
        Returns the template behind a path, a URL or ``workbench://name.ipynb``.
    """

    def __init__(
        self,
        algorithms: Algorithms,
        reuse: Reuse,
        datasets: Datasets,
        settings: Settings,
        run: Callable[..., Run],
        run_template: Callable[..., Run] | None,
        load_template: Callable[[str], Any] | None,
    ) -> None:
        self._algorithms = algorithms
        self._reuse = reuse
        self._datasets = datasets
        self._settings = settings
        self._run = run
        self._run_template = run_template
        self._load_template = load_template

    def find(self, what: Any) -> Target:
        """Return what a reference, a folder or a notebook names; see `Sweeps.target`."""
        if isinstance(what, Target):
            return what
        if not is_template(what):
            try:
                name, chosen = subject_of(self._algorithms, what)
            except NotFoundError:
                kept = self._kept(what)
                if kept is None:
                    raise
                return self.find(kept)
            return AlgorithmTarget(name, chosen, self._run, self._reuse, self._datasets)
        if self._run_template is None:
            raise UnsupportedError(
                f"Sweeps over notebooks are not in this version: {str(what)!r}. Name an algorithm instead."
            )
        if isinstance(what, (str, os.PathLike)):
            if self._load_template is None:
                raise UnsupportedError(
                    f"Notebook {os.fspath(what)!r} cannot be loaded here. Pass a Template."
                )
            what = self._load_template(os.fspath(what))
        with suppress(ImportError):  # systems that do not fork
            from workbench.batch.children import expect_imports

            expect_imports(what.notebook, self._settings)
        return TemplateTarget(what, self._run_template)

    def _kept(self, name: Any) -> Template | None:
        """Return the template that the workspace keeps under a name, or None."""
        with suppress(WorkbenchError):
            if isinstance(name, str) and self._load_template is not None:
                found: Template = self._load_template(f"{SCHEME}{name}.ipynb")
                return found
        return None
