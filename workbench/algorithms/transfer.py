"""Export and import of an algorithm with its lineage."""

from __future__ import annotations

import html
import io
import json
import os
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.algorithms.archive import MOST_LOG, Archive, ArchiveWriter, checked_target
from workbench.algorithms.folder import AlgorithmFolder, read_folder
from workbench.algorithms.manifest import invalid
from workbench.algorithms.package import digest
from workbench.algorithms.refs import asset_key, check_alias
from workbench.algorithms.stored import ASSETS, PACKAGES
from workbench.errors import ConflictError, DamagedError
from workbench.models import DatasetRecord, Revision, RunRecord
from workbench.names import check_key
from workbench.pages import html_table, text_table
from workbench.theme import MUTED

if TYPE_CHECKING:
    from workbench.algorithms.algorithm import Algorithm
    from workbench.algorithms.deploy import Deployer
    from workbench.catalog import Catalog
    from workbench.storage.store import Store

_BATCH = 500
ELSEWHERE = "elsewhere"  # `library.lineage` reads it
#: what a run keeps of its own, whoever imports it; all else can be told anew
_OF_RUN = {"id", "revision", "parameters", "inputs", "outputs", "status"}


@dataclass(frozen=True)
class Imported:
    """What an import has brought, or in a dry run would bring.

    Attributes
    ----------
    algorithm : Algorithm or None
        The newest revision of the file; None in a dry run.
    revisions, runs, datasets : sequence of str
        The ids that were not here before.
    notes : sequence of str
    """

    path: Path
    name: str
    algorithm: Algorithm | None
    revisions: Sequence[str]
    runs: Sequence[str]
    datasets: Sequence[str]
    notes: Sequence[str] = ()

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each kind of thing."""
        kinds = ("revisions", "runs", "datasets")
        return [{"what": kind, "new": len(getattr(self, kind))} for kind in kinds]

    def __repr__(self) -> str:
        return "\n".join([self._head(), text_table(self.rows()), *self.notes])

    def _repr_html_(self) -> str:
        notes = "".join(f"<div style='color:{MUTED}'>{html.escape(note)}</div>" for note in self.notes)
        return f"<div>{html.escape(self._head())}</div>{html_table(self.rows())}{notes}"

    def _head(self) -> str:
        if self.algorithm is None:
            return f"{self.path} would bring {self.name}; nothing was imported."
        return f"{self.path}: {self.algorithm.ref}, revision {self.algorithm.id}."


def export(
    store: Store,
    catalog: Catalog,
    revisions: Sequence[Revision],
    path: str | os.PathLike[str],
    *,
    lineage: bool,
    data: bool,
    overwrite: bool,
) -> Path:
    """Write revisions of one version with all that belongs to them to a file.

    Raises
    ------
    NotFoundError, DamagedError
        If code or an asset is gone or damaged.
    """
    target = checked_target(path, overwrite=overwrite)
    with ArchiveWriter(target) as archive:
        for revision in revisions:
            wanted = {f"{PACKAGES}/{revision.package}.zip": revision.package}
            wanted |= {f"{ASSETS}/{value}": value for value in revision.assets.values()}
            for name, value in wanted.items():
                _add(store, archive, name)
                if archive.parts[name].digest != value:
                    raise DamagedError(
                        f"{name} of {revision.ref} is damaged in {store.url}. Deploy the folder again."
                    )
            if revision.git is not None and revision.git.diff:
                patch = f"environments/{revision.git.diff}.patch"
                if store.exist("environments", [patch.partition("/")[2]])[0]:
                    _add(store, archive, patch)
        if lineage:
            _add_lineage(store, catalog, revisions, archive, data)
        names = {r.id for r in revisions} | {r.version for r in revisions}
        aliases = {a: t for a, t in catalog.get_aliases(revisions[0].name).items() if t in names}
        archive.finish(revisions[0].name, revisions, aliases)
    return target


def _add_lineage(
    store: Store, catalog: Catalog, revisions: Sequence[Revision], archive: ArchiveWriter, data: bool
) -> None:
    environments = set()
    for run in _runs_of(catalog, revisions):
        archive.add(f"runs/{run.id}.json", run.to_json())
        log = store.get("runs", f"{run.id}.log") if store.exist("runs", [f"{run.id}.log"])[0] else b""
        if 0 < len(log) <= MOST_LOG:
            archive.add(f"runs/{run.id}.log", log)
        environments.add(str(run.environment.get("digest", "")))
        ids = [*run.inputs, *(output.dataset for output in run.outputs if output.dataset)]
        for record in catalog.get_datasets(ids).values():
            archive.add(f"datasets/{record.id}.json", record.to_json())
            key = f"{record.digest}.h5"
            if data and store.exist("objects", [key])[0]:
                _add(store, archive, f"objects/{key}")
    for value in sorted(environments):
        if value and store.exist("environments", [f"{value}.json"])[0]:
            _add(store, archive, f"environments/{value}.json")


def _add(store: Store, archive: ArchiveWriter, name: str) -> None:
    collection, _, key = name.partition("/")
    with store.open(collection, key) as source:
        archive.add(name, source)


def _runs_of(catalog: Catalog, revisions: Sequence[Revision]) -> Iterator[RunRecord]:
    for revision in revisions:
        cursor: str | None = None
        while True:
            found, cursor = catalog.list_runs(revision=revision.id, limit=_BATCH, after=cursor)
            yield from (run for run in found if run.status.is_final)
            if cursor is None:
                break


class Import:
    """One import of an archive.

    Parameters
    ----------
    archive : Archive
    store : Store
    catalog : Catalog
    deployer : Deployer
    """

    def __init__(self, archive: Archive, store: Store, catalog: Catalog, deployer: Deployer) -> None:
        self._archive = archive
        self._store = store
        self._catalog = catalog
        self._deployer = deployer
        manifest = archive.manifest
        self.new = [r for r in manifest.revisions if not self._is_here(r)]
        # what others say that they computed never stands for what is to be computed here
        self._told = [r.model_copy(update={"reuse_key": "", "reuse_parts": {}}) for r in archive.runs()]
        known_runs = catalog.get_runs(r.id for r in self._told)
        self.runs = [r for r in self._told if not self._is_same_run(r, known_runs.get(r.id))]
        self.datasets, self.absent = self._chosen_datasets()

    # -- looking

    def _is_here(self, revision: Revision) -> bool:
        known = self._catalog.get_revision(revision.id)
        if known is None:
            return False
        facts = ("name", "version", "package", "assets", "runner", "runner_class", "created")
        differ = [fact for fact in facts if getattr(known, fact) != getattr(revision, fact)]
        if differ:
            raise ConflictError(
                f"Nothing was imported: revision {revision.id} is here as {known.ref} with other {' and '.join(differ)} than in "
                f"{self._archive.path}. One of them was tampered with; delete the one here to take the other."
            )
        return True

    def _is_same_run(self, run: RunRecord, known: RunRecord | None) -> bool:
        if run.revision not in {r.id for r in self._archive.manifest.revisions} or not run.status.is_final:
            raise DamagedError(f"{self._archive.path} holds run {run.id}, which is of no revision in it.")
        if known is not None and known.model_dump(include=_OF_RUN) != run.model_dump(include=_OF_RUN):
            raise ConflictError(
                f"Nothing was imported: run {run.id} is here with other parameters, inputs or outputs than in "
                f"{self._archive.path}. One of them was tampered with."
            )
        return known is not None

    def _chosen_datasets(self) -> tuple[list[DatasetRecord], list[DatasetRecord]]:
        """Return the datasets that come with their arrays, or whose arrays are here, and those that do not."""
        records = self._archive.datasets()
        known = self._catalog.get_datasets(r.id for r in records)
        for record in records:
            mine = known.get(record.id)
            if mine is not None and (mine.digest, mine.run_id) != (record.digest, record.run_id):
                raise ConflictError(
                    f"Nothing was imported: dataset {record.id} is here with other content than in {self._archive.path}."
                )
        others = [r for r in records if r.id not in known]
        brought = set(self._archive.names("objects"))
        keys = [f"{r.digest}.h5" for r in others]
        there = dict(zip(keys, self._store.exist("objects", keys), strict=True))
        chosen = [r for r in others if f"{r.digest}.h5" in brought or there[f"{r.digest}.h5"]]
        ids = {record.id for record in chosen}
        return chosen, [record for record in others if record.id not in ids]

    # -- doing

    def carry_out(self, *, check: bool) -> None:
        """Check the code of new revisions as a deploy does, then store bytes, then facts."""
        with tempfile.TemporaryDirectory(prefix="workbench-import-") as scratch:
            self.store(self.checked(Path(scratch), check=check))

    def checked(self, scratch: Path, *, check: bool) -> list[tuple[AlgorithmFolder, Revision]]:
        """Check the code of new revisions as a deploy does; nothing is stored yet."""
        self._archive.verify()
        return [
            self._revision(revision, scratch / str(number), check=check)
            for number, revision in enumerate(self.new)
        ]

    def store(self, made: Sequence[tuple[AlgorithmFolder, Revision]]) -> None:
        """Store what was checked: bytes, then facts."""
        environments = {key: self._environment(key) for key in self._archive.names("environments")}
        self._put_arrays()
        self._deployer.store_imported(made)
        for key, content in environments.items():
            self._put("environments", key, content)
        self._store.create_collections([ELSEWHERE] if self.absent else [])
        for record in self.absent:  # a lineage names them
            self._put(ELSEWHERE, f"{record.id}.json", record.to_json())
        for record in self.datasets:
            self._put("datasets", f"{record.id}.json", record.to_json())
        self._catalog.put_datasets(self.datasets)
        for run in self.runs:
            if f"{run.id}.log" in self._archive.names("runs"):
                self._put("runs", f"{run.id}.log", self._archive.read(f"runs/{run.id}.log"))
            self._put("runs", f"{run.id}.json", run.to_json())
        self._catalog.put_runs(self.runs, only_new=True)

    def aliases(self) -> dict[str, str]:
        """Return the aliases of the file that are not in use here."""
        manifest = self._archive.manifest
        known = self._catalog.get_aliases(manifest.name)
        targets = {r.id for r in manifest.revisions} | {r.version for r in manifest.revisions}
        return {
            check_alias(alias): target
            for alias, target in manifest.aliases.items()
            if alias not in known and target in targets
        }

    def _revision(self, revision: Revision, folder: Path, *, check: bool) -> tuple[AlgorithmFolder, Revision]:
        """Unpack a revision and derive its facts from its files anew: what the file says of it is not believed."""
        package = self._archive.read(f"packages/{revision.package}.zip")
        for path, content in self._code(revision, package).items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        for path, value in revision.assets.items():
            self._archive.unpack(f"assets/{value}", folder / asset_key(path))
        found = read_folder(folder)
        plan = self._deployer.plan(found, check=check)
        if plan.problems:
            raise invalid(folder, list(plan.problems))
        fits = (found.package_digest, found.assets) == (revision.package, revision.assets)
        if not fits or plan.revision.ref != revision.ref:
            raise DamagedError(
                f"{self._archive.path} was tampered with: its files do not make {revision.ref} ({revision.id}). Nothing was imported."
            )
        kept = {name: getattr(revision, name) for name in ("id", "created", "source", "git")}
        return found, plan.revision.model_copy(update=kept)

    def _code(self, revision: Revision, package: bytes) -> Mapping[str, bytes]:
        wrong = f"{self._archive.path} was tampered with: the package of {revision.ref} is no package. Nothing was imported."
        if digest(package) != revision.package:
            raise DamagedError(wrong)
        try:
            with zipfile.ZipFile(io.BytesIO(package)) as file:
                infos = file.infolist()
                # a package is stored without compression, so it cannot hold more than it is large
                if any(i.compress_type != zipfile.ZIP_STORED for i in infos) or sum(
                    i.file_size for i in infos
                ) > len(package):
                    raise DamagedError(wrong)
                return {check_key(info.filename, "File in a package"): file.read(info) for info in infos}
        except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
            raise DamagedError(wrong) from error

    def _environment(self, key: str) -> bytes:
        content = self._archive.read(f"environments/{key}")
        name, _, kind = key.partition(".")
        try:
            plain = content if kind == "patch" else json.dumps(json.loads(content), sort_keys=True).encode()
        except ValueError:
            plain = b""
        if digest(plain)[:32] != name:
            raise DamagedError(
                f"{self._archive.path} was tampered with: environments/{key} has another digest."
            )
        return content

    def _put_arrays(self) -> None:
        from workbench.storage import hdf5

        wanted = {f"{record.digest}.h5" for record in self.datasets}
        for key in wanted & set(self._archive.names("objects")):
            if not self._store.exist("objects", [key])[0]:
                with self._store.stage("objects") as staged:
                    self._archive.unpack(f"objects/{key}", staged.path)
                    hdf5.verify(
                        staged.path, key.removesuffix(".h5"), f"objects/{key} of {self._archive.path}"
                    )
                    staged.publish(key, overwrite=False)

    def _put(self, collection: str, key: str, content: bytes | str) -> None:
        if not self._store.exist(collection, [key])[0]:
            self._store.put(collection, key, content)
