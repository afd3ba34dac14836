"""An algorithm folder, read and checked as far as that goes without running its code."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from workbench.algorithms.declarations import Findings
from workbench.algorithms.manifest import FILE, RUNNER, Manifest, find_manifest, invalid
from workbench.algorithms.package import SUFFIX, Contents, build_zip, collect, digest, hash_file, unreadable
from workbench.algorithms.source_check import check_source, mentions_compox
from workbench.errors import InvalidAlgorithmError, NotFoundError, did_you_mean
from workbench.models import AlgorithmType, ParameterSpec, Revision, now
from workbench.names import new_id


@dataclass
class AlgorithmFolder:
    """What a folder holds; ``assets`` maps path to digest, ``sizes`` path to bytes."""

    folder: Path
    manifest: Manifest
    contents: Contents
    package: bytes
    package_digest: str
    assets: dict[str, str]
    sizes: dict[str, int]
    warnings: list[str]

    @cached_property
    def declared(self) -> str:
        """Return the digest over all that the folder says: equal folders deploy to the same revision."""
        assets = "".join(f"\n{path} {self.assets[path]}" for path in sorted(self.assets))
        return digest(f"{self.manifest.model_dump_json()}\n{self.package_digest}{assets}".encode())

    def revision(
        self, type_: AlgorithmType | None = None, parameters: tuple[ParameterSpec, ...] | None = None
    ) -> Revision:
        """Return the revision this folder makes.

        Parameters
        ----------
        type_ : AlgorithmType, optional
            The family of the Runner class, for a folder that declares no type.
        parameters : tuple of ParameterSpec, optional
            Those of the class ``Runner.Parameters``, for a folder that declares none.
        """
        manifest = self.manifest
        undefined = manifest.type is AlgorithmType.UNDEFINED
        facts = Revision(
            id="",
            name=manifest.name,
            major=manifest.major,
            minor=manifest.minor,
            type=type_ if undefined and type_ else manifest.type,
            description=manifest.description,
            tags=manifest.tags,
            supported_devices=manifest.supported_devices,
            default_device=manifest.default_device,
            parameters=manifest.parameters or parameters or (),
            package=self.package_digest,
            assets=dict(sorted(self.assets.items())),
            runner=manifest.runner,
            runner_class=manifest.runner_class,
            compox=manifest.compox,
            settings=manifest.settings,
            created=now(),
        )
        what_counts = facts.model_dump_json(
            exclude={"id", "created", "verdict", "source", "content", "declared", "git"}
        )
        return facts.model_copy(
            update={
                "id": new_id(),
                "source": str(self.folder),
                "content": digest(what_counts.encode()),
                "declared": self.declared,
            }
        )


def read_folder(path: str | os.PathLike[str]) -> AlgorithmFolder:
    """Read an algorithm folder: manifest, files, digests, syntax.

    Raises
    ------
    NotFoundError
        If there is no such folder.
    InvalidAlgorithmError
        With every problem at once.
    """
    folder = _existing(Path(path).expanduser())
    findings = Findings()
    manifest = find_manifest(folder, findings)
    has_runner = (folder / (manifest.runner if manifest is not None else RUNNER)).exists()
    if not has_runner and not (folder / FILE).exists():  # no algorithm at all, and perhaps a large folder
        raise invalid(folder, findings.problems)
    contents = collect(folder)
    findings.problems += contents.problems
    if manifest is not None:
        if not manifest.has_table and mentions_compox(contents.code):
            manifest = manifest.model_copy(update={"compox": True})
        check_source(contents.code, manifest, findings)
    if not has_runner:
        raise invalid(folder, findings.problems)  # before anything is hashed
    assets, sizes = {}, {}
    for name, file in contents.assets.items():
        try:
            assets[name], sizes[name] = hash_file(file)
        except OSError as error:
            findings.problem(unreadable(name, error))
    if manifest is None or findings.problems:
        raise invalid(folder, findings.problems)
    package = build_zip(contents.code)
    return AlgorithmFolder(
        folder, manifest, contents, package, digest(package), assets, sizes, findings.warnings
    )


def _existing(path: Path) -> Path:
    if path.is_dir():
        return path.resolve()
    if path.is_file():
        if path.suffix == SUFFIX:
            text = f"{path} is an exported algorithm. Bring it here with ws.algorithms.import_file({str(path)!r}), or %algoimport {path}."
            raise InvalidAlgorithmError(text, problems=(text,))
        text = f"{path} is a file, expected the folder that holds {FILE}. Pass {str(path.parent)!r}."
        raise InvalidAlgorithmError(text, problems=(text,))
    siblings = [p.name for p in path.parent.iterdir() if p.is_dir()] if path.parent.is_dir() else []
    near = did_you_mean(path.name, siblings)
    raise NotFoundError(
        f"There is no folder {str(path)!r} (seen from {Path.cwd()}).{near} Pass the algorithm's folder."
    )
