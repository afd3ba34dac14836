"""A lineage with its files as an RO-Crate: what Zenodo, WorkflowHub and people without workbench can open.

Source: RO-Crate Metadata Specification 1.1, 2020, doi:10.5281/zenodo.4031327; Process Run Crate 0.5, in S. Leo et al., Recording
provenance of workflow runs with RO-Crate, PLoS ONE 19 (2024), doi:10.1371/journal.pone.0309210.
"""

from __future__ import annotations

import hashlib
import json
import math
import mimetypes
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import AlreadyExistsError, MissingPackageError, NotFoundError, UnsupportedError
from workbench.library.crate_code import folder_name, record_name
from workbench.library.lineage_walk import read_directly
from workbench.models import DatasetRecord, RunRecord, RunStatus

if TYPE_CHECKING:
    from workbench.library.lineage import Lineage

PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
_STATUS = {
    RunStatus.COMPLETED: "CompletedActionStatus",
    RunStatus.FAILED: "FailedActionStatus",
    RunStatus.CANCELLED: "FailedActionStatus",
    RunStatus.LOST: "FailedActionStatus",
}
_KINDS = {
    ".toml": "application/toml",
    ".md": "text/markdown",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
}
_BLOCK = 4 << 20
_CHANGING = (
    "runs",
    "datasets",
)  # collections of files that may be written again meanwhile: they are copied first


def write_crate(lineage: Lineage, path: Path, license: str, *, overwrite: bool = False) -> None:
    """Write an RO-Crate: a ``.zip``, or a folder that is empty or not there yet.

    Every file has its SHA-256. Datasets are HDF5 files, each run is a ``CreateAction`` with its record, log, parameters and environment, each algorithm the source
    code with its assets and its record, each function or step of a pipeline the text that was kept of it. What was deleted since is described, without a file.

    Raises
    ------
    MissingPackageError
        If the package rocrate is not installed.
    AlreadyExistsError
        If there is something at the path.
    """
    if lineage.place is None:
        raise UnsupportedError("This lineage belongs to no workspace, so there are no files to write.")
    is_zip = path.suffix == ".zip"
    taken = path.exists() if is_zip else path.exists() and (not path.is_dir() or any(path.iterdir()))
    if taken and not (overwrite and is_zip):
        replace = " Pass overwrite=True to replace it." if is_zip else " Name an empty folder, or a .zip."
        raise AlreadyExistsError(f"{path} is there already.{replace}")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.urandom(6).hex()}")
    try:
        with tempfile.TemporaryDirectory(prefix="workbench-crate-") as scratch:
            crate = _Crate(lineage, Path(scratch), license).crate
            if is_zip:
                crate.write_zip(part)
            else:
                crate.write(part)
        if not is_zip and path.exists():
            path.rmdir()
        part.replace(path)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        part.unlink(missing_ok=True)
        raise


class _Crate:
    """The crate of a lineage while it is made."""

    def __init__(self, lineage: Lineage, scratch: Path, license: str) -> None:
        try:
            from rocrate.rocrate import ROCrate
        except ImportError:
            raise MissingPackageError(
                "An RO-Crate needs the package rocrate, which is not installed. "
                "Run: pip install 'jupyter-workbench[provenance]'",
                package="rocrate",
            ) from None
        assert lineage.place is not None
        self._store, self._catalog = lineage.place
        self._scratch = scratch
        self._nodes = lineage.nodes
        self._files: dict[str, Any] = {}
        self.crate: Any = ROCrate(version="1.1")
        root = self.crate.root_dataset
        node = lineage.nodes[lineage.id]
        self.crate.name = f"{node.label} ({node.kind} {node.id})"
        self.crate.description = f"{lineage._head()} Written by workbench; datasets are HDF5, every run names code, parameters, inputs and outputs."
        is_url = license.startswith(("http://", "https://"))
        root["license"] = self._thing(license, "CreativeWork", name=license) if is_url else license
        root["conformsTo"] = self._thing(PROFILE, "CreativeWork", name="Process Run Crate", version="0.5")
        nodes = lineage.nodes.values()
        for dataset in (n for n in nodes if n.kind == "dataset"):
            self._files[dataset.id] = self._dataset(dataset.id, dataset.record, dataset.label)
        runs = [self._run(n.id, n.record, n.label) for n in nodes if n.kind == "run"]
        root["mentions"] = _plain(runs)
        authors = [entity for entity in self.crate.contextual_entities if entity.type == "Person"]
        if authors:
            root["author"] = _plain(authors)
        if node.kind == "dataset":
            root["mainEntity"] = self._files[node.id]

    # -- datasets

    def _dataset(self, id: str, record: Any, label: str) -> Any:
        if not isinstance(record, DatasetRecord):
            return self._thing(f"#{id}", "CreativeWork", name=label, identifier=id)
        facts = {
            "name": label,
            "identifier": id,
            "encodingFormat": "application/x-hdf5",
            "dateCreated": record.created.isoformat(),
            "description": "; ".join(
                f"{key}: {info.kind} {list(info.shape)} {info.dtype}".rstrip()
                for key, info in record.keys.items()
            ),
            **({"keywords": ", ".join(record.tags)} if record.tags else {}),
        }
        made = self._file("objects", f"{record.digest}.h5", f"datasets/{id}.h5", facts)
        if made is None:
            return self._thing(f"#{id}", "CreativeWork", name=f"{label} (its file is gone)", identifier=id)
        self._file(
            "datasets", f"{id}.json", f"datasets/{id}.json", {"name": f"record of {label}", "about": made}
        )
        return made

    # -- runs

    def _run(self, id: str, record: Any, label: str) -> Any:
        if not isinstance(record, RunRecord):
            return self._thing(f"#{id}", "CreateAction", name=f"run {id}, deleted since")
        action = self._thing(f"#{id}", "CreateAction", name=f"{label} ({id})", identifier=id)
        action["actionStatus"] = f"http://schema.org/{_STATUS.get(record.status, 'ActiveActionStatus')}"
        if record.started:
            action["startTime"] = record.started.isoformat(timespec="milliseconds")
        if record.finished:
            action["endTime"] = record.finished.isoformat(timespec="milliseconds")
        if record.error is not None:
            action["error"] = f"{record.error.type}: {record.error.message}"
        values = ", ".join(f"{name}={value!r}" for name, value in record.parameters.items())
        action["description"] = f"{label}{f' with {values}' if values else ''}, on {record.device}"
        action["instrument"] = self._algorithm(record)
        read = [
            *(self._known(input_) for input_ in read_directly(record)),
            *(self._given_by(source) for source in record.sources),
            *(self._parameter(id, name, value) for name, value in record.parameters.items()),
        ]
        if read:
            action["object"] = _plain(read)
        made = [self._known(output.dataset) for output in record.outputs if output.dataset]
        made += self._learned(record, label)
        notebook = self._file(
            "runs",
            f"{id}.ipynb",
            f"runs/{id}.ipynb",
            {"name": "executed notebook", "encodingFormat": "application/x-ipynb+json"},
        )
        made += [notebook] if notebook else []
        if any(
            id in node.record.sources for node in self._nodes.values() if isinstance(node.record, RunRecord)
        ):
            made.append(self._given_by(id))
        if made and not record.reused_from:
            action["result"] = _plain(made)
        if record.user:
            action["agent"] = self._thing(f"#user/{record.user}", "Person", name=record.user)
        about = [
            self._file("runs", f"{id}.json", f"runs/{id}.json", {"name": f"record of run {id}"}),
            self._file(
                "runs",
                f"{id}.log",
                f"runs/{id}.log",
                {"name": f"log of run {id}", "encodingFormat": "text/plain"},
            ),
            self._environment(record),
        ]
        action["subjectOf"] = _plain([entity for entity in about if entity is not None])
        origin = record.reused_from or record.replays or record.resumed_from
        if origin:
            beyond = origin not in self._nodes
            action["isBasedOn"] = (
                self._thing(f"#{origin}", "CreateAction", name=f"run {origin}")
                if beyond
                else {"@id": f"#{origin}"}
            )
        return action

    def _learned(self, record: RunRecord, label: str) -> list[Any]:
        """Add what a step of a pipeline has learned: what predicts with it cannot be replayed without."""
        state = str(record.records.get("state", "")) if record.call else ""
        found = self._catalog.get_datasets([state]).get(state) if state else None
        if found is None:
            return []
        self._files[state] = self._dataset(state, found, f"what {label} has learned")
        return [self._files[state]]

    def _given_by(self, run: str) -> Any:
        """Return what a run gave that is no dataset; the run itself is named as what has it as its result."""
        record = self._nodes[run].record if run in self._nodes else None
        label = self._nodes[run].label if run in self._nodes else run
        plain = [ref for ref in record.outputs if ref.is_value] if isinstance(record, RunRecord) else []
        facts: dict[str, Any] = {"name": f"what {label} gave", "identifier": f"{run}/given"}
        if plain:
            facts["value"] = json.dumps(plain[0].value if len(plain) == 1 else [ref.value for ref in plain])
        return self._thing(f"#{run}/given", "PropertyValue", **facts)

    def _parameter(self, run: str, name: str, value: Any) -> Any:
        is_plain = isinstance(value, (int, str)) or (isinstance(value, float) and math.isfinite(value))
        plain = value if is_plain else json.dumps(value)
        return self._thing(f"#{run}/{name}", "PropertyValue", name=name, value=plain)

    def _environment(self, record: RunRecord) -> Any:
        digest = record.environment.get("digest")
        if not digest:
            return None
        facts = {"name": "Python, machine and packages", "encodingFormat": "application/json"}
        return self._file("environments", f"{digest}.json", f"environments/{digest}.json", facts)

    def _known(self, id: str) -> Any:
        if id not in self._files:  # it lies beyond the lineage that was asked for
            self._files[id] = self._thing(f"#{id}", "CreativeWork", name=f"dataset {id}", identifier=id)
        return self._files[id]

    # -- algorithms

    def _algorithm(self, record: RunRecord) -> Any:
        revision = self._catalog.get_revision(record.revision) if record.revision else None
        if revision is None:
            name = record.template or record.algorithm
            kept = self._code_of_call(record, name) if record.code else None
            return kept or self._thing(f"#software/{name}", "SoftwareApplication", name=name)
        if revision.id in self._files:
            return self._files[revision.id]
        facts = {
            "@type": ["File", "SoftwareSourceCode"],
            "name": revision.ref,
            "identifier": revision.id,
            "version": revision.version,
            "dateCreated": revision.created.isoformat(),
            "encodingFormat": "application/zip",
            "programmingLanguage": self._thing(
                "https://www.python.org", "ComputerLanguage", name="Python", url="https://www.python.org"
            ),
            **({"description": revision.description} if revision.description else {}),
        }
        code = self._file(
            "packages", f"{revision.package}.zip", f"{folder_name(revision)}/package.zip", facts
        )
        if code is None:
            code = self._thing(
                f"#software/{revision.id}", "SoftwareApplication", name=revision.ref, version=revision.version
            )
        assets = [
            self._file("assets", digest, f"{folder_name(revision)}/{path}", {"name": path})
            for path, digest in sorted(revision.assets.items())
        ]
        if revision.git is not None and revision.git.remote:
            code["codeRepository"] = code["url"] = revision.git.remote
        if revision.git is not None and revision.git.diff:  # a clean checkout has none
            name = f"what was not committed to {revision.git.commit}"
            diff = f"{revision.git.diff}.patch"
            assets.append(
                self._file(
                    "environments",
                    diff,
                    f"environments/{diff}",
                    {"name": name, "encodingFormat": "text/x-diff"},
                )
            )
        about = {"name": f"record of {revision.ref}", "about": code}
        self._add(self._written(record_name(revision), revision.to_json()), record_name(revision), about)
        if any(assets):
            code["hasPart"] = _plain([asset for asset in assets if asset is not None])
        self._files[revision.id] = code
        return code

    def _code_of_call(self, record: RunRecord, name: str) -> Any:
        """Add the text that a function or step of a pipeline can be made of again."""
        facts = {"@type": ["File", "SoftwareSourceCode"], "name": name, "encodingFormat": "text/x-python"}
        return self._file("code", f"{record.code}.py", f"code/{record.code}.py", facts)

    # -- inside

    def _thing(self, id: str, type_: str, **facts: Any) -> Any:
        known = self.crate.get(id)
        if known is not None:
            return known
        from rocrate.model.contextentity import ContextEntity

        return self.crate.add(ContextEntity(self.crate, id, properties={"@type": type_, **facts}))

    def _file(self, collection: str, key: str, name: str, facts: dict[str, Any]) -> Any:
        """Add a stored object as a file; None if it is gone."""
        known = self.crate.get(name)
        if known is not None:
            return known
        path = self._store.local_path(collection, key)
        if path is None or collection in _CHANGING:
            path = self._scratch / name
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with self._store.open(collection, key) as source, path.open("wb") as target:
                    shutil.copyfileobj(source, target, _BLOCK)
            except NotFoundError:
                return None
        elif not path.exists():
            return None
        return self._add(path, name, facts)

    def _written(self, name: str, content: str) -> Path:
        path = self._scratch / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
        return path

    def _add(self, path: Path, name: str, facts: dict[str, Any]) -> Any:
        kind = mimetypes.guess_type(name)[0] or _KINDS.get(Path(name).suffix, "application/octet-stream")
        with path.open("rb") as file:
            checksum = hashlib.file_digest(file, "sha256").hexdigest()
        size = str(path.stat().st_size)
        facts = {"encodingFormat": kind, **facts, "contentSize": size, "sha256": checksum}
        return self.crate.add_file(path, dest_path=name, properties=facts)


def _plain(entities: list[Any]) -> Any:
    """Return one entity by itself, as JSON-LD writes it, and several as a list."""
    return entities[0] if len(entities) == 1 else entities
