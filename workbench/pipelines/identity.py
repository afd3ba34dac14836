"""What the nodes of a pipeline are called among all steps of a workspace, and which version each has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from workbench.algorithms.revision_versions import version_of_revision
from workbench.algorithms.runnable import resolve
from workbench.errors import InvalidPipelineError
from workbench.links.step_version import field_records
from workbench.pipelines.meaning import meaning
from workbench.steps import LoadableStep, Step
from workbench.versions import Version, version_of

if TYPE_CHECKING:
    from workbench.algorithms import Algorithms
    from workbench.pipelines import graph
    from workbench.pipelines.pipeline import Pipeline


@dataclass(frozen=True, slots=True)
class Identity:
    """A node as one of all steps of a workspace.

    Parameters
    ----------
    path : str
        Of the node.
    name : str
        What its versions are found by: the name of the step or algorithm; of a function, the name of its node.
    version : Version
        Of its code, and of its training.
    step : Step or None
        Whose class gave the name.
    upstream : tuple of str
        Paths of the nodes it reads from.
    """

    path: str
    name: str
    version: Version
    step: Step | None
    upstream: tuple[str, ...]

    @property
    def loadable(self) -> LoadableStep | None:
        """The step, if it has a state that is kept."""
        return self.step if isinstance(self.step, LoadableStep) else None

    @property
    def ref(self) -> str | Step:
        """What it is registered by."""
        return self.step or self.name


def identities(pipeline: Pipeline, algorithms: Algorithms) -> dict[str, Identity]:
    """Return what all nodes of a pipeline are, by path, each after those it reads from.

    Raises
    ------
    InvalidPipelineError
        If two nodes would share their versions and are not the same.
    NotFoundError
        If an algorithm is not there.
    """
    found = {path: _identity(path, node, algorithms) for path, node in pipeline.graph.steps.items()}
    by_name: dict[str, Identity] = {}
    for identity in found.values():
        other = by_name.setdefault(identity.name, identity)
        problem = _clash(other, identity)
        if problem:
            raise InvalidPipelineError(
                f"Pipeline {pipeline.name!r}: nodes {other.path!r} and {identity.path!r} are both kept as {identity.name!r}, "
                f"and {problem}. Give one a name of its own: in its class, name = '{identity.name}-2', or {identity.name}(..., "
                f"name='{identity.name}-2')."
            )
    return found


def _identity(path: str, node: graph.Step, algorithms: Algorithms) -> Identity:
    what = node.node.what
    if node.node.kind == "algorithm":
        runnable = resolve(algorithms, what)
        verdict = runnable.revision.verdict
        fields = verdict.fields if verdict else None
        if fields is None:  # a folder, or deployed unchecked
            fields = field_records(version_of(runnable.runner_class()))
        version = version_of_revision(runnable.revision, fields)
        return Identity(path, runnable.revision.name, version, None, node.upstream)
    if isinstance(what, Step):
        return Identity(path, what.name, what.version, what, node.upstream)
    own = getattr(what, "version", None)
    if not isinstance(own, Version):
        digest, unknown = meaning(what)
        # nobody said that what is trained on its result is worth nothing once it changes
        own = Version.of_value("code", digest[:12] or unknown, "minor")
    return Identity(path, node.node.name, own, None, node.upstream)


def _clash(one: Identity, other: Identity) -> str:
    """Return why two nodes cannot be kept under one name; nothing if they can."""
    if one is other or (one.step is not None and one.step is other.step):
        return ""
    if type(one.step) is not type(other.step):
        return "they are of two classes"
    if one.loadable is not None:
        return "each has a state of its own"
    return ""
