"""How a call reaches a worker, and what cannot be kept comes back: files in the private folder of this user's run host.

A function may be of a notebook, so it travels with its code, by cloudpickle. Only this user can read or write the folder.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from workbench.errors import InvalidPipelineError
from workbench.execution.host_address import private_folder
from workbench.pipelines.call import Call
from workbench.pipelines.meaning import home_of
from workbench.pipelines.values import NOTHING, Value

FORGOTTEN_S = 7 * 86400.0  # a file that nobody has fetched


@dataclass(frozen=True, slots=True)
class Back:
    """What a worker gives back beside the record.

    Parameters
    ----------
    objects : dict
        Outputs that are kept nowhere, by position.
    state : dict or None
        The attributes of a step that was trained.
    """

    objects: dict[int, Any]
    state: dict[str, Any] | None = None


def give(call: Call, run_id: str, host_folder: str | None) -> Path:
    """Write a call for a worker; return where it lies.

    Raises
    ------
    InvalidPipelineError
        If something of it cannot go to another process.
    """
    folder = private_folder(host_folder) / "calls"
    folder.mkdir(mode=0o700, exist_ok=True)
    _forget_old(folder)
    arguments = tuple(value.without_object() for value in call.arguments)
    content = dumps(replace(call, arguments=arguments), call.path, call.what)
    path = folder / f"{run_id}.call"
    _write(path, content)
    return path


def take(path: Path) -> Call:
    """Read a call in a worker, once."""
    import cloudpickle

    content = path.read_bytes()
    path.unlink()
    paths, inner = cloudpickle.loads(content)
    sys.path += [entry for entry in paths if entry not in sys.path]
    call: Call = cloudpickle.loads(inner)
    return call


def give_back(path: Path, call: Call, given: Sequence[Value], state: dict[str, Any] | None) -> None:
    """Write what cannot be kept for the process that has given the call; nothing if all is kept."""
    import cloudpickle

    objects = {i: value.held for i, value in enumerate(given) if not value.is_kept}
    if not objects and state is None:
        return
    try:
        content = cloudpickle.dumps(Back(objects, state))
    except Exception as error:
        raise InvalidPipelineError(
            f"Node {call.path!r} gave something that cannot come back from another process: {error}. "
            "Return arrays, numbers and texts, or run the pipeline with executor='kernel'."
        ) from error
    _write(path.with_suffix(".back"), content)


def take_back(path: Path) -> Back:
    """Read what a worker gave back, once."""
    import cloudpickle

    target = path.with_suffix(".back")
    try:
        back: Back = cloudpickle.loads(target.read_bytes())
    except FileNotFoundError:
        return Back({})
    target.unlink()
    return back


def forget(path: Path) -> None:
    """Take away what nobody will read."""
    for left in (path, path.with_suffix(".back")):
        left.unlink(missing_ok=True)


def dumps(value: Any, path: str, what: Any) -> bytes:
    """Return the bytes of something of a node, with the code of what is not installed.

    Raises
    ------
    InvalidPipelineError
        If something of it cannot go to another process.
    """
    import cloudpickle

    try:
        with _by_value(home_of(what)):
            inner = cloudpickle.dumps(value)
    except Exception as error:
        raise InvalidPipelineError(
            f"Node {path!r} cannot go to another process: {error}. Keep what cannot be pickled (open files, locks, connections) "
            "out of it, or run the pipeline with executor='kernel'."
        ) from error
    return bytes(cloudpickle.dumps((sys.path, inner)))


@contextmanager
def _by_value(package: str) -> Iterator[None]:
    """Let the code of a package travel: a worker may have imported it before it was edited, or not find it."""
    import cloudpickle

    module: ModuleType | None = sys.modules.get(package)
    if not package or package in ("__main__", "workbench") or module is None:
        yield
        return
    cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        with suppress(ValueError):
            cloudpickle.unregister_pickle_by_value(module)


def _write(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)


def _forget_old(folder: Path) -> None:
    for path in folder.iterdir():
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > FORGOTTEN_S:
                path.unlink()


def with_objects(given: Sequence[Value], back: Back) -> tuple[Value, ...]:
    """Return values with those objects that came back."""
    return tuple(
        replace(value, held=back.objects.get(i, NOTHING)) if i in back.objects else value
        for i, value in enumerate(given)
    )
