"""Algorithm: a deployed algorithm in hand. It shows itself, knows its parameters, and runs when it is called."""

from __future__ import annotations

import builtins
import html
import inspect
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from workbench.algorithms.parameters import Parameters
from workbench.algorithms.revision_versions import fields_of, version_of_revision
from workbench.errors import InvalidParameterError, WorkspaceError
from workbench.models import AlgorithmType, GitSource, Revision
from workbench.pages import cell_text, html_table, text_table

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from workbench.runners import BaseRunner

_MOST_PARAMETERS = 256
_parameters: dict[str, Parameters] = {}  # by revision: what checks them takes 0.3 ms to make

_RUN_OPTIONS = {
    "device",
    "executor",
    "timeout_s",
    "retries",
    "wait",
    "debug",
    "tags",
    "echo",
    "session",
    "reuse",
}


class Code(Protocol):
    """Where the code and the assets of a revision come from; `Algorithms` is one."""

    def runner_class(self, revision: Revision) -> type[BaseRunner]:
        """Import and return the Runner class."""
        ...

    def asset(self, revision: Revision, path: str) -> bytes:
        """Return an asset's bytes."""
        ...

    def export(
        self,
        ref: Algorithm,
        path: str | os.PathLike[str],
        *,
        lineage: bool = True,
        data: bool = False,
        overwrite: bool = False,
    ) -> Path:
        """Write a version to a file."""
        ...

    def checkout(
        self, ref: Algorithm, folder: str | os.PathLike[str], source: str | os.PathLike[str] | None = None
    ) -> Path:
        """Clone the repository of a revision."""
        ...


class Algorithm:
    """One revision of an algorithm; call it to run it: ``algorithm(volume, sigma=2.0)``.

    Parameters
    ----------
    revision : Revision
    code : Code
        Gives its Runner class and assets.
    run : callable, optional
        Called as ``run(algorithm, inputs, parameters, **options)``; usually ``Workspace.run``.
    """

    def __init__(self, revision: Revision, code: Code, run: Callable[..., Any] | None = None) -> None:
        self.revision = revision
        self.note = ""  # what the deploy that gave it has to say
        self._code = code
        self._run = run

    @property
    def name(self) -> str:
        """Return the name."""
        return self.revision.name

    @property
    def version(self) -> str:
        """Return ``major.minor``."""
        return self.revision.version

    @property
    def ref(self) -> str:
        """Return ``name@major.minor``."""
        return self.revision.ref

    @property
    def id(self) -> str:
        """Return the id of this revision, by which it stays reachable."""
        return self.revision.id

    @property
    def type(self) -> AlgorithmType:
        """Return what it reads and writes."""
        return self.revision.type

    @property
    def tags(self) -> tuple[str, ...]:
        """Return the tags."""
        return self.revision.tags

    @property
    def description(self) -> str:
        """Return what it does, in a sentence."""
        return self.revision.description

    @cached_property
    def parameters(self) -> Parameters:
        """Return its parameters: names, kinds, defaults; checks values and gives their JSON Schema."""
        known = _parameters.get(self.revision.id)
        if known is None:
            if len(_parameters) >= _MOST_PARAMETERS:
                _parameters.clear()
            known = Parameters(self.revision.parameters, self.ref, self.revision.compox)
            _parameters[self.revision.id] = known
        return known

    def runner_class(self) -> builtins.type[BaseRunner]:
        """Import and return its Runner class."""
        return self._code.runner_class(self.revision)

    def asset(self, path: str) -> bytes:
        """Return the bytes of an asset by its path in the folder."""
        return self._code.asset(self.revision, path)

    def export(self, path: str | os.PathLike[str], **options: Any) -> Path:
        """Write its version to one file, with all revisions and the records of its runs; see `Algorithms.export`."""
        return self._code.export(self, path, **options)

    def checkout(self, folder: str | os.PathLike[str], source: str | os.PathLike[str] | None = None) -> Path:
        """Clone the repository that it was deployed from, with what was not committed then; see `Algorithms.checkout`."""
        return self._code.checkout(self, folder, source)

    def __call__(self, *inputs: Any, run_options: dict[str, Any] | None = None, **parameters: Any) -> Any:
        """Run it and return the Run.

        Parameters
        ----------
        *inputs : array, Dataset, id, name or path
            Each as it is, so a 3-D array is a stack; a colour image (3, H, W) is given in a list.
        run_options : dict, optional
            Options of ``Workspace.run``: ``{"executor": "kernel", "device": "cpu", "timeout_s": 60, "wait": False}``.
        **parameters
            Values by name; see ``algorithm.parameters``.

        Raises
        ------
        InvalidParameterError, NotFoundError, InvalidDataError
            Before anything starts.
        """
        if self._run is None:
            raise WorkspaceError(
                f"Algorithm {self.ref!r} belongs to no workspace. Get it from one: ws.algorithms.get(...)."
            )
        options = sorted(_RUN_OPTIONS & parameters.keys() - set(self.parameters.names))
        if options:
            raise InvalidParameterError(
                f"{options[0]!r} is no parameter of {self.ref!r} but an option of the run. "
                f"Pass run_options={{{options[0]!r}: {parameters[options[0]]!r}}}.",
                problems=dict.fromkeys(options, "is an option of the run"),
            )
        given: Any = inputs[0] if len(inputs) == 1 else inputs
        return self._run(self, given, parameters, **(run_options or {}))

    @property
    def __signature__(self) -> inspect.Signature:
        inputs = inspect.Parameter("inputs", inspect.Parameter.VAR_POSITIONAL)
        options = inspect.Parameter("run_options", inspect.Parameter.KEYWORD_ONLY, default=None)
        return inspect.Signature([inputs, *self.parameters.signature(), options])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Algorithm) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"Algorithm {self.ref}" + (
            f" ({self.type})" if self.type is not AlgorithmType.UNDEFINED else ""
        )

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        shown = Description(self)
        return {"text/plain": repr(shown), "text/html": shown._repr_html_()}


class Description:
    """What an algorithm is, as text and as HTML: facts, parameters, files, verdict."""

    def __init__(self, algorithm: Algorithm) -> None:
        self.algorithm = algorithm

    def facts(self) -> dict[str, str]:
        """Return what there is to say besides the parameters, by heading; empty things are left out."""
        revision = self.algorithm.revision
        verdict = revision.verdict
        devices = [
            f"{d} (default)" if d == revision.default_device else d for d in revision.supported_devices
        ]
        said = "not checked"
        if verdict is not None:
            said = f"{'passed' if verdict.ok else 'failed'} on Python {verdict.python}, {cell_text(verdict.checked)}"
        facts = {
            "type": revision.type.value,
            "devices": ", ".join(devices if len(devices) > 1 else revision.supported_devices),
            "tags": ", ".join(revision.tags),
            "version": version_of_revision(revision).short if fields_of(revision) else "",
            "counts": ", ".join(f"{n}={f.shown} ({f.kind})" for n, f in fields_of(revision).items()),
            "settings": ", ".join(f"{k}={v}" for k, v in revision.settings.items()),
            "assets": ", ".join(revision.assets),
            "check": said,
            "warnings": " ".join(verdict.warnings) if verdict else "",
            "deployed": cell_text(revision.created),
            "note": self.algorithm.note,
            "from": revision.source or "",
            "git": _git_text(revision.git) if revision.git else "",
            "revision": revision.id,
        }
        return {key: value for key, value in facts.items() if value}

    def __repr__(self) -> str:
        head = self.algorithm.ref + (f": {self.algorithm.description}" if self.algorithm.description else "")
        facts = [f"{key:9} {value}" for key, value in self.facts().items()]
        return "\n".join([head, *facts, "", text_table(self.algorithm.parameters.rows(), "No parameters.")])

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><th style="text-align:left">{html.escape(key)}</th><td style="text-align:left">{html.escape(value)}</td></tr>'
            for key, value in self.facts().items()
        )
        return (
            f"<p><strong>{html.escape(self.algorithm.ref)}</strong> {html.escape(self.algorithm.description)}</p>"
            + (f"<p>{html.escape(self.algorithm.note)}</p>" if self.algorithm.note else "")
            + html_table(self.algorithm.parameters.rows(), "No parameters.")
            + f"<details><summary>Details</summary><table>{rows}</table></details>"
        )


def _git_text(git: GitSource) -> str:
    """Return what is known of a checkout, in a line."""
    kept = f"{git.files} uncommitted file{'' if git.files == 1 else 's'} kept"
    changes = f", {kept}" if git.files else ", all committed" if not git.dirty else ""
    missing = (
        f", {len(git.left_out)} too large to keep: {', '.join(git.left_out[:5])}" if git.left_out else ""
    )
    return f"{git.commit[:10]} ({git.branch}){changes}{missing}"
