"""Saving a trained pipeline, and loading it: versions, states and links of its nodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench.errors import NotFoundError, VersionError
from workbench.links import Links, SavedPipelines, StepVersion
from workbench.pipelines.identity import Identity, identities
from workbench.pipelines.kept import KeptVersions, ancestors, major_changes
from workbench.steps import MLStep
from workbench.versions import Version

if TYPE_CHECKING:
    from workbench.algorithms import Algorithms
    from workbench.pipelines.pipeline import Pipeline

LATEST = "latest"


@dataclass(frozen=True, slots=True)
class Saver:
    """Saves and loads pipelines.

    Parameters
    ----------
    links : Links
    saved : SavedPipelines
    algorithms : Algorithms
    """

    links: Links
    saved: SavedPipelines
    algorithms: Algorithms

    def save(self, pipeline: Pipeline) -> StepVersion:
        """Keep the states of all nodes, and say that these versions work together; see `Pipeline.save`."""
        nodes = identities(pipeline, self.algorithms)
        self._check_trained(pipeline, nodes)
        states = {  # all of them before anything is kept
            path: node.loadable.serialize()
            for path, node in nodes.items()
            if node.loadable is not None and not self._is_kept(node)
        }
        versions = {path: self.links.register(node.ref, node.version) for path, node in nodes.items()}
        for path, data in states.items():
            trained_by = getattr(nodes[path].step, "trained_by", "")
            self.links.save_bytes(nodes[path].ref, versions[path], data, replace=True, trained_by=trained_by)
        for path, node in nodes.items():
            for above in _linked(nodes, path):
                self.links.register(
                    nodes[above].ref,
                    nodes[above].version,
                    downstream=node.ref,
                    downstream_version=versions[path] if node.loadable is not None else None,
                )
        self.saved.register(pipeline.name, nodes[last_path(pipeline)].name)
        total = Version()
        for path, node in nodes.items():
            total += node.version.inside(path)
        saved = self.saved.add_version(pipeline.name, total, {path: v.ref for path, v in versions.items()})
        for path, version in versions.items():
            step = nodes[path].step
            if isinstance(step, MLStep):
                step.kept_as = version.ref
        return saved

    def load(self, pipeline: Pipeline, version: str = LATEST, **options: Any) -> dict[str, StepVersion]:
        """Give all nodes their states; an error leaves them as they were. See `Pipeline.load`."""
        nodes = identities(pipeline, self.algorithms)
        kept = KeptVersions(self.links, nodes)
        if version == LATEST:
            chosen = kept.best
            self._check_there(pipeline, nodes, kept)
        else:
            chosen = self._of_version(pipeline, nodes, version)
        self._check_links(pipeline, nodes, kept, chosen)
        states = {path: found.bytes() for path, found in chosen.items()}
        before = {path: dict(vars(nodes[path].step)) for path in states}
        try:
            for path, data in states.items():
                step = nodes[path].loadable
                assert step is not None
                step.load(data, **(options if isinstance(step, MLStep) else {}))
                chosen[path].name_in(step)
        except BaseException:
            for path, attributes in before.items():
                vars(nodes[path].step).clear()
                vars(nodes[path].step).update(attributes)
            raise
        return chosen

    def validate(self, pipeline: Pipeline) -> None:
        """Say that all nodes work with what they read from, as that is now."""
        nodes = identities(pipeline, self.algorithms)
        kept = KeptVersions(self.links, nodes)
        for path, node in nodes.items():
            for above in _linked(nodes, path):
                version = kept.version_of(above, kept.best)
                self.links.register(nodes[above].ref, version, downstream=node.ref)

    def kept(self, pipeline: Pipeline) -> KeptVersions:
        """Return the versions that are kept of a pipeline's steps."""
        return KeptVersions(self.links, identities(pipeline, self.algorithms))

    def trained(self, pipeline: Pipeline) -> list[str]:
        """Return the nodes that can be trained."""
        nodes = identities(pipeline, self.algorithms)
        return [path for path, node in nodes.items() if isinstance(node.step, MLStep)]

    def why_trained(
        self,
        pipeline: Pipeline,
        stale: Mapping[str, str],
        before: Mapping[str, str],
        after: Mapping[str, str],
    ) -> dict[str, str]:
        """Return all nodes that were trained, in their order, and why.

        Parameters
        ----------
        pipeline : Pipeline
        stale : mapping
            The nodes that had to be, and why.
        before, after : mapping of str to str
            The versions of nodes, by path.
        """
        nodes, found = identities(pipeline, self.algorithms), dict[str, str]()
        for path, node in nodes.items():
            if path in stale:
                found[path] = stale[path]
            elif isinstance(node.step, MLStep) and after[path] != before.get(path):
                along = [nodes[above].name for above in ancestors(nodes, path) if above in found]
                found[path] = f"{', '.join(along)} was trained again" if along else "its data are new"
        return found

    def newest(self, pipeline: Pipeline) -> dict[str, StepVersion]:
        """Return for each node the newest version with a state, whether its code can use it or not."""
        nodes = identities(pipeline, self.algorithms)
        found = {
            p: [v for v in self.links.versions(n.name) if v.has_bytes] for p, n in nodes.items() if n.loadable
        }
        return {path: versions[0] for path, versions in found.items() if versions}

    def _check_trained(self, pipeline: Pipeline, nodes: Mapping[str, Identity]) -> None:
        """Refuse what was not trained, and links that no training stands for."""
        kept = KeptVersions(self.links, nodes)
        for path, node in nodes.items():
            step = node.loadable
            if step is None:
                continue
            if not step.has_state:
                raise NotFoundError(
                    f"Pipeline {pipeline.name!r} cannot be saved: node {path!r} was never trained. Run it first: pipe.run(...)."
                )
            if not isinstance(step, MLStep):
                continue
            for above in ancestors(nodes, path):
                other = nodes[above].step
                trained = other.train_time if isinstance(other, MLStep) else None
                if not step.needs_state and (trained or 0) <= (step.train_time or 0):
                    continue
                # only loaded, or trained before what it reads from: then it must be known to work with that
                why = kept.why_not(path, above)
                if why:
                    raise VersionError(
                        f"Pipeline {pipeline.name!r} cannot be saved: node {path!r} was not trained with {nodes[above].name!r} as it "
                        f"is now: {why}. Retrain {node.name!r}: run the pipeline that trains it and save it, pipe.save().",
                        node=path,
                        upstream=nodes[above].name,
                        version=str(nodes[above].version),
                    )

    def _is_kept(self, node: Identity) -> bool:
        """Tell whether exactly this training is kept: a format need not give the same bytes twice."""
        if not isinstance(node.step, MLStep):
            return False
        known = [v for v in self.links.versions(node.name) if v.version == node.version]
        return bool(known) and known[0].has_bytes

    def _check_there(self, pipeline: Pipeline, nodes: Mapping[str, Identity], kept: KeptVersions) -> None:
        for path, node in nodes.items():
            step = node.loadable
            if step is not None and step.needs_state and path not in kept.best:
                raise VersionError(
                    f"Node {path!r} of pipeline {pipeline.name!r} cannot be loaded: {kept.why_none_fits(step)}. Retrain "
                    f"{node.name!r}: run the pipeline that trains it and save it, pipe.save().",
                    node=path,
                    upstream=node.name,
                    version=str(node.version),
                )

    def _of_version(
        self, pipeline: Pipeline, nodes: Mapping[str, Identity], version: str
    ) -> dict[str, StepVersion]:
        saved = self._saved_as(pipeline, nodes, version)
        refs = saved.nodes
        if (
            saved.step != pipeline.name
        ):  # another pipeline with these steps, which may call its nodes otherwise
            by_name = {ref.partition("@")[0]: ref for ref in saved.nodes.values()}
            refs = {path: by_name[node.name] for path, node in nodes.items() if node.name in by_name}
        chosen: dict[str, StepVersion] = {}
        for path, node in nodes.items():
            step = node.loadable
            if step is None:
                continue
            name, _, number = refs.get(path, "").partition("@")
            if name != node.name:
                raise NotFoundError(
                    f"{saved.ref} was saved without node {path!r} ({node.name}). It has: {', '.join(saved.nodes)}."
                )
            kept = self.links.get(name, number)
            major = major_changes(kept.version, step.version_with(kept.version))
            if major:
                raise VersionError(
                    f"Node {path!r} has changed since {saved.ref}: {major}. Load another version, take back the change, or "
                    f"retrain {name!r}.",
                    node=path,
                    upstream=name,
                    version=str(node.version),
                )
            chosen[path] = kept
        return chosen

    def _saved_as(self, pipeline: Pipeline, nodes: Mapping[str, Identity], version: str) -> StepVersion:
        """Return the version of a pipeline that ``"1.2.0"`` or ``"train@1.2.0"`` names."""
        name, _, number = version.rpartition("@")
        try:
            return self.saved.get(name or pipeline.name, number)
        except NotFoundError as error:
            if name:
                raise
            steps = {node.name for node in nodes.values() if node.loadable is not None}
            others = [
                v
                for record in self.saved.list()
                for v in self.saved.versions(record.name)
                if v.step != pipeline.name and steps <= {ref.partition("@")[0] for ref in v.nodes.values()}
            ]
            others.sort(key=lambda v: v.number != number)  # that number first, else the newest
            hint = "Save it with each training, to come back to it: pipe.save()."
            if others:
                hint += f" {others[0].ref} has its steps: pipe.load({others[0].ref!r})."
            raise NotFoundError(f"{error} {hint}", **error.facts) from None

    def _check_links(
        self,
        pipeline: Pipeline,
        nodes: Mapping[str, Identity],
        kept: KeptVersions,
        chosen: Mapping[str, StepVersion],
    ) -> None:
        """Raise if a node never worked with what it reads from, as that is now; all of them are named."""
        problems = {path: kept.problems(path, chosen[path], chosen) for path in nodes if path in chosen}
        found = {path: why for path, why in problems.items() if why}
        if not found:
            return
        path, why = next(iter(found.items()))
        above = next(iter(why))
        reasons = "; ".join(f"{p!r}: {', '.join(why.values())}" for p, why in found.items())
        raise VersionError(
            f"Pipeline {pipeline.name!r} cannot be loaded. {reasons}. Retrain {', '.join(map(repr, found))}: run the pipeline "
            "that trains them and save it, pipe.save(). If you know that they work together: pipe.validate().",
            node=path,
            upstream=above,
            version=str(kept.version_of(above, chosen)),
            nodes=tuple(found),
        )


def _linked(nodes: Mapping[str, Identity], path: str) -> Iterable[str]:
    """Return what a node is linked to: what it reads from, and if it has a state, all that this depends on."""
    return ancestors(nodes, path) if nodes[path].loadable is not None else nodes[path].upstream


def last_path(pipeline: Pipeline) -> str:
    """Return the node that gives the result of a pipeline, or the last one to run."""
    given = [port.step for port in pipeline.graph.outputs if port.step]
    return given[-1] if given else list(pipeline.graph.steps)[-1]
