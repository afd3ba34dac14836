"""Which of the kept versions of its steps a pipeline can use, and which of its nodes are stale."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from workbench.links import Links, StepVersion
from workbench.links.links import why_not
from workbench.pipelines.identity import Identity
from workbench.steps import LoadableStep, MLStep
from workbench.versions import Version, VersionKind, changes, is_compatible

if TYPE_CHECKING:
    from collections.abc import Mapping


class KeptVersions:
    """The versions that are kept of a pipeline's steps.

    Parameters
    ----------
    links : Links
    nodes : dict of str to Identity
        By path, each after those it reads from.
    """

    def __init__(self, links: Links, nodes: Mapping[str, Identity]) -> None:
        self._links = links
        self._nodes = nodes

    @cached_property
    def best(self) -> dict[str, StepVersion]:
        """Of each node with a state the newest version that its code can use and that worked with what it reads from; where none
        did, the newest that its code can use."""
        found: dict[str, StepVersion] = {}
        for path, node in self._nodes.items():
            if node.loadable is None:
                continue
            fitting = self._fitting(node.loadable)
            sound = (kept for kept in fitting if not self.problems(path, kept, found))
            best = next(sound, fitting[0] if fitting else None)
            if best is not None:
                found[path] = best
        return found

    def problems(
        self, path: str, kept: StepVersion | None, chosen: Mapping[str, StepVersion]
    ) -> dict[str, str]:
        """Return why a state of a node does not go with what it depends on: by path of that, and nothing if all is well.

        Parameters
        ----------
        path : str
        kept : StepVersion or None
            None: any state that it ever had.
        chosen : mapping
            The versions of the nodes before it.
        """
        found = {
            above: self._why_not(path, above, kept, self.version_of(above, chosen))
            for above in ancestors(self._nodes, path)
        }
        return {above: why for above, why in found.items() if why}

    def why_not(self, path: str, above: str) -> str:
        """Return why a node, as it is now, is not known to work with another before it, as that is now; nothing if it is."""
        node, other = self._nodes[path], self._nodes[above]
        same = [kept for kept in self._links.versions(node.name) if kept.version == node.version]
        return self._why_not(path, above, same[0] if same else None, other.version)

    def _why_not(self, path: str, above: str, kept: StepVersion | None, now: Version) -> str:
        node, other = self._nodes[path], self._nodes[above]
        known = self._links.validated(node.ref, other.ref, kept)
        if any(is_compatible(version.version, now) for version in known):
            return ""
        if known or above in node.upstream:
            return why_not(other.name, known or self._links.validated(node.ref, other.ref), now)
        # what was saved before links reached beyond neighbours is known by the pipeline that it was saved with
        first = None if kept is None else self._links.first_saved_with(kept, other.ref)
        if first is not None and is_compatible(first.version, now):
            return ""
        return why_not(other.name, [] if first is None else [first], now)

    def version_of(self, path: str, chosen: Mapping[str, StepVersion]) -> Version:
        """Return the version of a node with the state that was chosen for it, or once it will have been trained."""
        if path in chosen:
            return chosen[path].version
        node = self._nodes[path]
        step = node.loadable
        return node.version if step is None or step.has_state else step.version_with(node.version)

    def stale(self) -> dict[str, str]:
        """Return the nodes that have to be trained again, by path, and why: all whose newest state cannot be loaded."""
        found: dict[str, str] = {}
        for path, node in self._nodes.items():
            kept = self.best.get(path)
            if kept is None:
                if isinstance(node.step, MLStep):
                    found[path] = self.why_none_fits(node.step)
                continue
            problems = self.problems(path, kept, self.best)
            if problems:
                found[path] = "; ".join(problems.values())
        return found

    def valid_edges(self) -> dict[tuple[str, str], bool]:
        """Tell of each edge, as (path, path), whether the two worked together as they are now, or as they would be loaded."""
        chosen = dict(self.best)
        unsaved = set()
        for path, node in self._nodes.items():
            if node.loadable is not None and node.loadable.has_state:
                known = [v for v in self._links.versions(node.name) if v.version == node.version]
                chosen.pop(path, None)
                if known:
                    chosen[path] = known[0]
                else:
                    unsaved.add(path)
        found = {}
        for path, node in self._nodes.items():
            if node.loadable is None:
                bad = {a for a in node.upstream if self._why_not(path, a, None, self.version_of(a, chosen))}
            else:  # what is wrong before the node that it reads from is wrong with this edge
                through = ancestors(self._nodes, path)
                bad = {through[above] for above in self.problems(path, chosen.get(path), chosen)}
            for above in node.upstream:
                found[above, path] = path not in unsaved and above not in bad
        return found

    def missing_edges(self) -> list[tuple[str, str]]:
        """Return the edges that are not valid, as far as anything is known of the node that reads."""
        known = set(self._links.steps())
        return [
            edge
            for edge, valid in self.valid_edges().items()
            if not valid and self._nodes[edge[1]].name in known
        ]

    def numbers(self) -> dict[str, str]:
        """Return the number of each node whose version is registered, as it is now; of one that is not loaded yet, as it would be."""
        found = {}
        for path, node in self._nodes.items():
            step = node.loadable
            if step is not None and step.needs_state and not step.has_state:
                if path in self.best:
                    found[path] = self.best[path].number
                continue
            same = (v.number for v in self._links.versions(node.name) if not changes(v.version, node.version))
            number = next(same, None)
            if number is not None:
                found[path] = number
        return found

    def why_none_fits(self, step: LoadableStep) -> str:
        """Return why no version that is kept of a step can be used by its code."""
        for kept in self._links.versions(step):
            if kept.has_bytes:
                return f"{major_changes(kept.version, step.version_with(kept.version))} since {kept.ref}"
        return "it was never trained and saved"

    def _fitting(self, step: LoadableStep) -> list[StepVersion]:
        """Return the versions with a state that the code of a step can use, newest first."""
        return [
            kept
            for kept in self._links.versions(step)
            if kept.has_bytes and is_compatible(kept.version, step.version_with(kept.version))
        ]


def ancestors(nodes: Mapping[str, Identity], path: str) -> dict[str, str]:
    """Return what the state of a node depends on, by path, with the one that it reads from through which it does.

    That is all before it up to the nearest nodes that are trained themselves: what is not trained passes on each change of what it
    reads from, and what is trained has a version for it.
    """
    found: dict[str, str] = {}
    for direct in nodes[path].upstream:
        waiting = [direct]
        while waiting:
            above = waiting.pop(0)
            if above not in found:
                found[above] = direct
                if not isinstance(nodes[above].step, MLStep):
                    waiting += nodes[above].upstream
    return found


def major_changes(before: Version, after: Version) -> str:
    """Return the major changes between two versions in words; nothing if there are none."""
    return ", ".join(str(c) for c in changes(before, after) if c.kind is VersionKind.MAJOR)
