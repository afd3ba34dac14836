"""What a run needs to know of an algorithm, deployed or still a folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.algorithms.algorithm import Algorithm
from workbench.algorithms.parameters import Parameters
from workbench.errors import NotFoundError, did_you_mean
from workbench.models import AlgorithmType, Revision, now
from workbench.names import new_id

if TYPE_CHECKING:
    from workbench.algorithms.algorithms import Algorithms


@dataclass(frozen=True, slots=True)
class Runnable:
    """An algorithm that can be run.

    Parameters
    ----------
    revision : Revision
        Its facts; of a folder, made on the spot and stored nowhere.
    parameters : Parameters
    label : str
        ``name@major.minor``, or the folder.
    is_deployed : bool
    runner_class : callable
        Imports and returns the Runner class.
    asset : callable
        Returns the bytes of an asset by its path.
    """

    revision: Revision
    parameters: Parameters
    label: str
    is_deployed: bool
    runner_class: Callable[[], type[Any]]
    asset: Callable[[str], bytes]


def resolve(algorithms: Algorithms, ref: str | os.PathLike[str] | Algorithm | Runnable) -> Runnable:
    """Return what a reference or a folder names.

    Raises
    ------
    NotFoundError
        If it names nothing.
    InvalidAlgorithmError
        If it is a folder that is no algorithm.
    """
    if isinstance(ref, Runnable):
        return ref
    if isinstance(ref, Algorithm) or (isinstance(ref, str) and not _is_folder(ref)):
        algorithm = ref if isinstance(ref, Algorithm) else algorithms.get(ref)
        revision = algorithm.revision
        return Runnable(
            revision=revision,
            parameters=algorithm.parameters,
            label=revision.ref,
            is_deployed=True,
            runner_class=lambda: algorithms.runner_class(revision),
            asset=lambda path: algorithms.asset(revision, path),
        )
    return from_folder(Path(ref).expanduser())


def _is_folder(text: str) -> bool:
    """Tell whether a text means a folder: it looks like a path, or is an algorithm's folder here."""
    return (
        "/" in text
        or os.sep in text
        or text.startswith((".", "~"))
        or (Path(text) / "pyproject.toml").is_file()
    )


def from_folder(folder: Path) -> Runnable:
    """Return the algorithm in a folder, which need not be deployed; each call sees the files as they are now.

    Its modules are imported from the files themselves, so breakpoints and ``%debug`` work.
    """
    from workbench.algorithms.loader import FolderSource, load_runner_class
    from workbench.algorithms.manifest import read_manifest
    from workbench.algorithms.package import build_zip, collect, digest, hash_file

    folder = folder.resolve()
    if not folder.is_dir():
        near = (
            did_you_mean(folder.name, [p.name for p in folder.parent.iterdir()])
            if folder.parent.is_dir()
            else ""
        )
        raise NotFoundError(
            f"There is no algorithm folder {folder}.{near} Give a folder with a pyproject.toml."
        )
    manifest, _ = read_manifest(folder)
    contents = collect(folder)
    package = digest(build_zip(contents.code))
    assets = {path: hash_file(file)[0] for path, file in contents.assets.items()}
    content = digest(f"{folder} {package} {sorted(assets.items())}".encode())
    source = FolderSource(folder, content)

    def load() -> type[Any]:
        return load_runner_class(source, manifest.runner, manifest.runner_class, compox=manifest.compox)

    kind, parameters = manifest.type, Parameters(manifest.parameters, str(folder), manifest.compox)
    cls = load()
    if kind is AlgorithmType.UNDEFINED:
        kind = AlgorithmType(getattr(cls, "algorithm_type", AlgorithmType.GENERIC))
    if not manifest.parameters and isinstance(getattr(cls, "Parameters", None), type):
        parameters = Parameters.from_model(cls.Parameters, str(folder))
    revision = Revision(
        id=new_id(),
        name=manifest.name,
        major=manifest.major,
        minor=manifest.minor,
        type=kind,
        description=manifest.description,
        tags=manifest.tags,
        supported_devices=manifest.supported_devices,
        default_device=manifest.default_device,
        parameters=parameters.specs,
        package=package,
        assets=assets,
        runner=manifest.runner,
        runner_class=manifest.runner_class,
        compox=manifest.compox,
        settings=manifest.settings,
        created=now(),
        source=str(folder),
        content=content,
    )

    def asset(path: str) -> bytes:
        key = path.replace("\\", "/").removeprefix("/")
        if key not in contents.assets:
            raise NotFoundError(
                f"Asset {path!r} is not in {folder}.{did_you_mean(key, contents.assets)} "
                f"It has: {', '.join(sorted(contents.assets)) or 'no assets'}."
            )
        return contents.assets[key].read_bytes()

    return Runnable(revision, parameters, str(folder), False, lambda: cls, asset)
