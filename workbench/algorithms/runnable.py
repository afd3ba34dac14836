"""What a run needs to know of an algorithm, deployed or still a folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.algorithms.algorithm import Algorithm
from workbench.algorithms.package import digest
from workbench.algorithms.parameters import Parameters
from workbench.algorithms.refs import asset_key
from workbench.errors import InvalidInputError, NotFoundError, did_you_mean
from workbench.models import AlgorithmType, Revision

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
    if isinstance(ref, Algorithm) or (isinstance(ref, str) and not _is_path(ref)):
        try:
            algorithm = ref if isinstance(ref, Algorithm) else algorithms.get(ref)
        except NotFoundError:
            # a bare name means what is deployed; before it is, the folder of that name will do
            if isinstance(ref, str) and (Path(ref) / "pyproject.toml").is_file():
                return from_folder(Path(ref))
            raise
        revision = algorithm.revision
        return Runnable(
            revision=revision,
            parameters=algorithm.parameters,
            label=revision.ref,
            is_deployed=True,
            runner_class=lambda: algorithms.runner_class(revision),
            asset=lambda path: algorithms.asset(revision, path),
        )
    if not isinstance(ref, (str, os.PathLike)):
        raise InvalidInputError(f"{ref!r} names no algorithm. Pass text such as 'denoise@1.0', or a folder.")
    return from_folder(Path(ref).expanduser())


def _is_path(text: str) -> bool:
    """Tell whether a text looks like a path: ``./denoise`` is the folder, ``denoise`` what was deployed."""
    return "/" in text or os.sep in text or text.startswith((".", "~"))


def from_folder(folder: Path) -> Runnable:
    """Return the algorithm in a folder, which need not be deployed; each call sees the files as they are now.

    Its modules are imported from the files themselves, so breakpoints and ``%debug`` work.
    """
    from workbench.algorithms.folder import read_folder
    from workbench.algorithms.loader import FolderSource, load_runner_class

    read = read_folder(folder)
    manifest, files = read.manifest, read.contents.assets
    # by content and place: an edit is picked up, and the frames are those of this folder's files
    key = digest(f"{read.folder} {read.declared}".encode())
    cls = load_runner_class(
        FolderSource(read.folder, key), manifest.runner, manifest.runner_class, compox=manifest.compox
    )
    declared = getattr(cls, "Parameters", None)
    of_class = Parameters.from_model(declared).specs if isinstance(declared, type) else ()
    revision = read.revision(AlgorithmType(cls.algorithm_type), of_class)
    revision = revision.model_copy(update={"content": key})
    label = str(read.folder)

    def asset(path: str) -> bytes:
        name = asset_key(path)
        if name not in files:
            raise NotFoundError(
                f"Asset {path!r} is not in {label}.{did_you_mean(name, files)} "
                f"It has: {', '.join(sorted(files)) or 'no assets'}."
            )
        return files[name].read_bytes()

    return Runnable(
        revision, Parameters(revision.parameters, label, manifest.compox), label, False, lambda: cls, asset
    )
