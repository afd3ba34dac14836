"""Deploy: from a folder to a revision in the store, or to a plan that shows what would happen."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from workbench.algorithms import gate
from workbench.algorithms.folder import AlgorithmFolder
from workbench.algorithms.manifest import invalid
from workbench.algorithms.parameters import Parameters
from workbench.algorithms.stored import RECORDS, StoredAlgorithms
from workbench.catalog import Catalog
from workbench.errors import AlreadyExistsError
from workbench.models import AlgorithmType, Revision, Verdict
from workbench.pages import Row, html_table, text_table
from workbench.storage.store import Store

State = Literal["unchanged", "new algorithm", "new version", "new revision"]


@dataclass(frozen=True)
class DeployPlan:
    """What a deploy of a folder would do; nothing has been stored."""

    folder: AlgorithmFolder
    revision: Revision
    state: State
    verdict: Verdict | None
    newest: Revision | None = None  # of this version, before the deploy

    @property
    def name(self) -> str:
        """Return the algorithm's name."""
        return self.revision.name

    @property
    def version(self) -> str:
        """Return ``major.minor``."""
        return self.revision.version

    @property
    def type(self) -> AlgorithmType:
        """Return what it reads and writes."""
        return self.revision.type

    @property
    def parameters(self) -> Parameters:
        """Return its parameters."""
        return Parameters(self.revision.parameters, self.revision.ref, self.revision.compox)

    @property
    def code(self) -> dict[str, int]:
        """Return the Python files and their sizes in bytes."""
        return {path: len(source) for path, source in self.folder.contents.code.items()}

    @property
    def assets(self) -> dict[str, int]:
        """Return the other files and their sizes in bytes."""
        return dict(self.folder.sizes)

    @property
    def left_out(self) -> dict[str, str]:
        """Return what would not be stored, and why."""
        return dict(self.folder.contents.left_out)

    @property
    def problems(self) -> tuple[str, ...]:
        """Return what stands in the way of deploying."""
        return self.verdict.problems if self.verdict else ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return what is worth mending."""
        return self.verdict.warnings if self.verdict else tuple(self.folder.warnings)

    @property
    def note(self) -> str:
        """Return what the deploy replaces under a version that is there already, in a sentence, or an empty text."""
        old, new = self.newest, self.revision
        if old is None or self.state != "new revision":
            return ""
        pairs = {"code": (old.package, new.package), "assets": (old.assets, new.assets)}
        changed = [name for name, (before, after) in pairs.items() if before != after] or ["declarations"]
        return (
            f"{' and '.join(changed)} of {new.ref} replaced; runs from before keep the old revision, {old.id}"
        )

    def files(self) -> list[Row]:
        """Return one row per file: path, what it is, size, and why it was left out."""
        code = [{"file": p, "is": "code", "size": size_text(n), "why": ""} for p, n in self.code.items()]
        assets = [{"file": p, "is": "asset", "size": size_text(n), "why": ""} for p, n in self.assets.items()]
        left_out = [{"file": p, "is": "left out", "size": "", "why": why} for p, why in self.left_out.items()]
        return [*code, *assets, *left_out]

    def _head(self) -> str:
        kind = "" if self.type is AlgorithmType.UNDEFINED else f" ({self.type})"
        return f"Plan for {self.revision.ref}{kind}: {self.state}, nothing is stored"

    def _verdict(self) -> list[str]:
        if self.verdict is None:
            lines = ["Not checked."]
        elif self.verdict.ok:
            lines = [f"Check passed in {self.verdict.seconds:.1f} s on Python {self.verdict.python}."]
        else:
            lines = ["Check failed:", *(f"- {problem}" for problem in self.problems)]
        return lines + [f"Warning: {warning}" for warning in self.warnings]

    def __repr__(self) -> str:
        parts = [self._head(), text_table(self.files()), repr(self.parameters), "\n".join(self._verdict())]
        return "\n\n".join(parts)

    def _repr_html_(self) -> str:
        verdict = "<br>".join(html.escape(line) for line in self._verdict())
        return (
            f"<p><strong>{html.escape(self._head())}</strong></p>{html_table(self.files())}"
            f"{self.parameters._repr_html_()}<p>{verdict}</p>"
        )


def size_text(size: int) -> str:
    """Return a size in bytes for people.

    >>> size_text(1536)
    '1.5 KiB'
    """
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            break
        value /= 1024
    return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"


class Deployer:
    """Plans deploys and carries them out.

    Parameters
    ----------
    store : Store
    stored : StoredAlgorithms
    catalog : Catalog
    """

    def __init__(self, store: Store, stored: StoredAlgorithms, catalog: Catalog) -> None:
        self._store = store
        self._stored = stored
        self._catalog = catalog
        self._reports: dict[str, gate.GateReport] = {}

    def plan(self, folder: AlgorithmFolder, *, check: bool) -> DeployPlan:
        """Return what a deploy would do; with ``check``, the gate has been passed or not.

        Raises
        ------
        AlreadyExistsError
            If an algorithm is there whose name differs in upper and lower case only.
        """
        manifest = folder.manifest
        newest = self._catalog.find_revision(manifest.name, manifest.major, manifest.minor)
        if newest is None:
            state: State = "new version" if self._catalog.find_revision(manifest.name) else "new algorithm"
            if state == "new algorithm":
                self._refuse_twin(manifest.name)
        report = self._report(folder, newest, check=check)
        revision = folder.revision(report.type, report.parameters) if report else folder.revision()
        verdict = None
        if report:  # what the toml is warned about is kept too
            warned = tuple(dict.fromkeys((*folder.warnings, *report.verdict.warnings)))
            verdict = report.verdict.model_copy(update={"warnings": warned})
        if newest is not None:
            state = "unchanged" if newest.content == revision.content else "new revision"
        return DeployPlan(folder, revision.model_copy(update={"verdict": verdict}), state, verdict, newest)

    def carry_out(self, plan: DeployPlan) -> Revision:
        """Store what the plan says and return the revision that now answers to the name.

        Bytes first, then the manifest, then the catalog: whatever moment a process dies in, nothing half is visible.

        Raises
        ------
        InvalidAlgorithmError
            If the gate found problems; nothing is stored.
        """
        from workbench.algorithms.locks import writing

        if plan.problems:
            raise invalid(plan.folder.folder, list(plan.problems))
        self._stored.prepare()
        self._put_files(plan.folder)
        if plan.state != "unchanged":
            plan = replace(plan, revision=self._with_git(plan))
        with writing(self._store, RECORDS):
            if self._store.is_local:
                self._put_files(plan.folder)  # a delete may have taken shared files away since
            revision = plan.revision
            newest = self._catalog.find_revision(revision.name, revision.major, revision.minor)
            if newest is not None and newest.content == revision.content:
                if revision.verdict is None or _report_of(newest) is not None:
                    return newest
                revision = newest.model_copy(
                    update={"verdict": revision.verdict, "declared": revision.declared}
                )
            self._record(revision)
        return revision

    def _with_git(self, plan: DeployPlan) -> Revision:
        """Keep what the checkout around the folder has that its commit has not."""
        from workbench.algorithms.git_source import read_git

        contents = plan.folder.contents
        found = read_git(plan.folder.folder, [*contents.code, *contents.assets])
        if found is None:
            return plan.revision
        git, patch = found
        if git.diff:
            self._stored.put_patch(git.diff, patch)
        return plan.revision.model_copy(update={"git": git})

    def store_imported(self, made: Sequence[tuple[AlgorithmFolder, Revision]]) -> None:
        """Store revisions that were made elsewhere, under the ids that they have there."""
        from workbench.algorithms.locks import writing

        self._stored.prepare()
        for folder, _ in made:
            self._put_files(folder)
        with writing(self._store, RECORDS):
            for folder, revision in made:
                if self._store.is_local:
                    self._put_files(folder)
                self._record(revision)

    def _put_files(self, folder: AlgorithmFolder) -> None:
        assets = {
            value: (folder.contents.assets[path], folder.sizes[path]) for path, value in folder.assets.items()
        }
        self._stored.put_files(folder.package, folder.package_digest, assets)

    def _record(self, revision: Revision) -> None:
        def add(revisions: list[Revision], new: list[Revision]) -> list[Revision]:
            ids = {r.id for r in new}
            return sorted([*(r for r in revisions if r.id not in ids), *new], key=lambda r: (r.created, r.id))

        name, version = revision.name, revision.version
        self._stored.change(name, version, lambda revisions: add(revisions, [revision]))
        self._catalog.put_revision(revision)
        # No lock reaches other machines. Each one looks again after it has written, and whoever wrote last sees all that the
        # catalog knows, so no revision is lost however the writes fall together.
        while not self._store.is_local:
            there = {r.id for r in self._stored.revisions(name, version)}
            known, _ = self._catalog.list_revisions(
                name=name, major=revision.major, minor=revision.minor, newest_only=False, limit=1000
            )
            lost = [r for r in known if r.id not in there]
            if not lost:
                return
            self._stored.change(name, version, lambda revisions, lost=lost: add(revisions, lost))  # type: ignore[misc]

    def _report(
        self, folder: AlgorithmFolder, newest: Revision | None, *, check: bool
    ) -> gate.GateReport | None:
        known = self._reports.get(folder.declared)
        if known is None and newest is not None and newest.declared == folder.declared:
            known = _report_of(newest)
        if known is not None or not check:
            return known
        report = gate.check(folder.package, folder.package_digest, folder.manifest, folder.contents.assets)
        if report.verdict.ok:  # a missing package may be installed meanwhile
            self._reports[folder.declared] = report
        return report

    def _refuse_twin(self, name: str) -> None:
        twins = [n for n in self._catalog.algorithm_names() if n != name and n.casefold() == name.casefold()]
        if twins:
            raise AlreadyExistsError(
                f"Algorithm {twins[0]!r} is there, and {name!r} differs from it in upper and lower case only. "
                f'Write name = "{twins[0]}" in pyproject.toml, or choose another name.'
            )


def _report_of(revision: Revision) -> gate.GateReport | None:
    """Return the report that a revision's verdict stands for, if it would be given again today."""
    verdict = revision.verdict
    if verdict is None or not verdict.ok or not gate.is_current(verdict):
        return None
    return gate.GateReport(verdict=verdict, type=revision.type, parameters=revision.parameters)
