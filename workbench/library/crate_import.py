"""RO-Crates that we have written, read back: datasets and records of runs under their own ids, with their lineage."""

from __future__ import annotations

import html
import json
import os
import re
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from workbench.errors import ConflictError, DamagedError, UnsupportedError
from workbench.library.crate_code import BringRevisions, CrateCode
from workbench.library.crate_files import CrateFiles
from workbench.models import DatasetRecord, RunRecord
from workbench.pages import html_table, text_table
from workbench.theme import MUTED

if TYPE_CHECKING:
    from workbench.catalog.catalog import Catalog
    from workbench.storage.store import Staged, Store

_ID = "[0-9a-z]{20}"
_OURS = re.compile(
    rf"datasets/{_ID}\.(h5|json)|runs/{_ID}\.(json|log|ipynb)|environments/[0-9a-f]{{32}}\.json|"
    r"code/[0-9a-f]{40}\.py"
)
CODE = "code/"
#: what makes a run or dataset the same one; names and tags may have changed since
_OF_RUN = {"id", "revision", "parameters", "inputs", "outputs", "status"}
_OF_DATASET = {"id", "digest", "run_id", "parents"}
R = TypeVar("R", DatasetRecord, RunRecord)


@dataclass(frozen=True)
class ImportedCrate:
    """What an import has brought, or in a dry run would bring.

    Attributes
    ----------
    path : Path
    datasets, runs, revisions : sequence of str
        The ids that were not here before; revisions of algorithms only where their code was asked for.
    notes : sequence of str
    dry_run : bool
    """

    path: Path
    datasets: Sequence[str]
    runs: Sequence[str]
    notes: Sequence[str] = ()
    dry_run: bool = False
    revisions: Sequence[str] = ()

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each kind of thing."""
        return [{"what": kind, "new": len(getattr(self, kind))} for kind in ("datasets", "runs", "revisions")]

    def __repr__(self) -> str:
        return "\n".join([self._head(), text_table(self.rows()), *self.notes])

    def _repr_html_(self) -> str:
        notes = "".join(f"<div style='color:{MUTED}'>{html.escape(note)}</div>" for note in self.notes)
        return f"<div>{html.escape(self._head())}</div>{html_table(self.rows())}{notes}"

    def _head(self) -> str:
        return f"{self.path}: would be imported; nothing was." if self.dry_run else f"{self.path}: imported."


def import_crate(
    store: Store,
    catalog: Catalog,
    path: str | os.PathLike[str],
    *,
    dry_run: bool = False,
    bring: BringRevisions | None = None,
) -> ImportedCrate:
    """Bring the datasets and runs of a crate; what is here already is left alone.

    All files are checked before the first fact is written. Without ``bring`` no code is brought, and nothing is executed.

    Raises
    ------
    NotFoundError, UnsupportedError
        If there is no such crate, or something else has written it.
    DamagedError
        If it was damaged or tampered with.
    ConflictError
        If an id of it is here with other content. In none of these cases is anything imported.
    """
    with CrateFiles(Path(path).expanduser()) as files:
        found = _Import(files, store, catalog, with_code=bring is not None)
        revisions = found.bring(bring, dry_run=True) if dry_run else found.carry_out(bring)
        datasets, runs = [d.id for d in found.datasets], [r.id for r in found.runs]
        return ImportedCrate(files.path, datasets, runs, found.notes(revisions), dry_run, revisions)


class _Import:
    """One import of a crate."""

    def __init__(self, files: CrateFiles, store: Store, catalog: Catalog, *, with_code: bool) -> None:
        self._files, self._store, self._catalog = files, store, catalog
        self._with_code = with_code
        names = [name for name in files.names if _OURS.fullmatch(name)]
        self._names = [name for name in names if with_code or not name.startswith(CODE)]
        datasets = self._records("datasets", DatasetRecord)
        runs = self._records("runs", RunRecord)
        if not datasets and not runs:
            raise UnsupportedError(
                f"{files.path} is an RO-Crate of something else: it has no records of workbench (datasets/ID.json, runs/ID.json). "
                "Import its files one by one: ws.datasets.import_file(path)."
            )
        for record in datasets:
            if f"datasets/{record.id}.h5" not in self._names:
                raise files.damaged(f"datasets/{record.id}.h5 is not in it")
        for name in self._names:
            files.verify(name)
        ended = [run for run in runs if run.status.is_final]
        self.datasets = self._new(datasets, catalog.get_datasets(d.id for d in datasets), _OF_DATASET)
        # what others say that they computed never stands for what is to be computed here
        self.runs = [
            run.model_copy(update={"reuse_key": "", "reuse_parts": {}})
            for run in self._new(ended, catalog.get_runs(r.id for r in ended), _OF_RUN)
        ]
        self._has_calls = not with_code and any(f"{CODE}{run.code}.py" in names for run in self.runs)
        self._going_on = len(runs) - len(ended)

    def bring(self, bring: BringRevisions | None, *, dry_run: bool) -> list[str]:
        """Bring the algorithms of the runs, also of those that are here already; return the revisions that were not here."""
        if bring is None:
            return []
        wanted = {record.revision for record in self._records("runs", RunRecord) if record.revision}
        code = CrateCode(self._files, wanted)
        return bring(code.revisions, code, self._files.path, dry_run=dry_run) if code.revisions else []

    def carry_out(self, bring: BringRevisions | None) -> list[str]:
        """Store bytes, all of them checked, then facts; return the revisions of algorithms that came."""
        environments = {name: self._environment(name) for name in self._names if name.startswith("env")}
        code = {name: self._code(name) for name in self._names if name.startswith(CODE)}
        with ExitStack() as stack:
            staged = [(record, self._staged(record, stack)) for record in self.datasets]
            revisions = self.bring(bring, dry_run=False)
            for record, file in staged:
                file.publish(f"{record.digest}.h5", overwrite=False)
        for name, content in {**environments, **code}.items():
            self._put(name, content)
        for dataset in self.datasets:
            self._put(f"datasets/{dataset.id}.json", dataset.to_json())
        self._catalog.put_datasets(self.datasets)
        for run in self.runs:
            for name in (f"runs/{run.id}.log", f"runs/{run.id}.ipynb"):
                if name in self._names:
                    self._put(name, self._files.read(name))
            self._put(f"runs/{run.id}.json", run.to_json())
        self._catalog.put_runs(self.runs, only_new=True)
        return revisions

    # -- inside

    def _records(self, collection: str, type_: type[R]) -> list[R]:
        found = []
        for name in self._names:
            if name.startswith(f"{collection}/") and name.endswith(".json"):
                content = self._files.read(name)
                try:
                    record = type_.model_validate_json(content)
                except ValueError as error:
                    raise self._files.damaged(f"{name} is no record") from error
                if name != f"{collection}/{record.id}.json":
                    raise self._files.damaged(f"{name} holds the record of {record.id!r}")
                found.append(record)
        return found

    def _new(self, records: Sequence[R], known: dict[str, R], facts: set[str]) -> list[R]:
        for record in records:
            mine = known.get(record.id)
            if mine is not None and mine.model_dump(include=facts) != record.model_dump(include=facts):
                kind = "dataset" if isinstance(record, DatasetRecord) else "run"
                raise ConflictError(
                    f"Nothing was imported: {kind} {record.id} is here with other facts than in {self._files.path}. "
                    "One of them was tampered with."
                )
        return [record for record in records if record.id not in known]

    def notes(self, brought: Sequence[str]) -> list[str]:
        """Return what is to be known of an import that has brought these revisions."""
        notes = []
        if self._going_on:
            notes.append(f"{self._going_on} runs had not ended when it was written, and are left out.")
        revisions = {run.revision for run in self.runs if run.revision} - set(brought)
        absent = [id_ for id_ in revisions if self._catalog.get_revision(id_) is None]
        here = [] if self._with_code else CrateCode(self._files, absent).revisions
        if absent:
            notes.append(
                f"{len(absent)} revisions of algorithms are not here, so their runs cannot be replayed."
            )
        if len(absent) > len(here):
            notes.append("algorithm.export(...) brings those along whose code is not in the crate.")
        if here or self._has_calls:
            notes.append(
                "If you trust who wrote it, code=True (--code) brings their code, and the functions of pipelines."
                if self._has_calls
                else "If you trust who wrote it, code=True (--code) brings their code."
            )
        return notes

    def _staged(self, record: DatasetRecord, stack: ExitStack) -> Staged:
        """Write the arrays of a dataset beside their place, and check that they are what the record says."""
        from workbench.storage import hdf5

        name = f"datasets/{record.id}.h5"
        file = stack.enter_context(self._store.stage("objects"))
        with file.path.open("wb") as target:
            for block in self._files.blocks(name):
                target.write(block)
        try:
            hdf5.verify(file.path, record.digest, name)
        except DamagedError as error:
            raise self._files.damaged(f"{name} is not what its record says") from error
        return file

    def _code(self, name: str) -> bytes:
        """Return the text of a function: kept, and executed by a replay only."""
        import blake3

        content = self._files.read(name)
        if blake3.blake3(content).hexdigest()[:40] != Path(name).stem:
            raise self._files.damaged(f"{name} has another digest")
        return content

    def _environment(self, name: str) -> bytes:
        import blake3

        content = self._files.read(name)
        try:
            plain = json.dumps(json.loads(content), sort_keys=True).encode()
        except ValueError:
            plain = b""
        if blake3.blake3(plain).hexdigest()[:32] != Path(name).stem:
            raise self._files.damaged(f"{name} has another digest")
        return content

    def _put(self, name: str, content: bytes | str) -> None:
        collection, _, key = name.partition("/")
        if not self._store.exist(collection, [key])[0]:
            self._store.put(collection, key, content)
