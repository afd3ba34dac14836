"""How a call reaches a worker, and what cannot be kept comes back: files in the private folder of this user's run host.

A function may be of a notebook, so it travels with its code, by cloudpickle. Only this user can read or write the folder.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from workbench.errors import InvalidPipelineError
from workbench.execution.host_address import private_folder
from workbench.pipelines.call import Call
from workbench.pipelines.installed import is_installed
from workbench.pipelines.meaning import home_of, packages_of
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
    arguments = tuple(value.without_object() for value in call.arguments)
    content = dumps(replace(call, arguments=arguments), call.path, call.what)
    return write(f"{run_id}.call", content, host_folder)


def take(path: Path) -> Call:
    """Read a call in a worker, once."""
    content = path.read_bytes()
    path.unlink()
    call: Call = unpacked(content)
    return call


@contextmanager
def fresh_modules() -> Iterator[None]:
    """Leave no module behind that a call has imported and that is not installed, nor the folders where it was found.

    The next call in this worker may need it as it was edited since, or one of the same name from another folder.
    """
    before, paths = set(sys.modules), list(sys.path)
    try:
        yield
    finally:
        sys.path[:] = paths
        for name in set(sys.modules) - before:
            if getattr(sys.modules[name], "__file__", None) and not is_installed(name):
                del sys.modules[name]
        importlib.invalidate_caches()


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
    write_back(path, content)


def take_back(path: Path) -> Back:
    """Read what a worker gave back, once."""
    back: Back | None = read_back(path)
    return Back({}) if back is None else back


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
    try:
        return packed_with_code(value, [what])
    except Exception as error:
        raise InvalidPipelineError(
            f"Node {path!r} cannot go to another process: {error}. Keep what cannot be pickled (open files, locks, connections) "
            "out of it, or run the pipeline with executor='kernel'."
        ) from error


def packed_with_code(value: Any, whats: Sequence[Any]) -> bytes:
    """Return the bytes of something, with all code that functions and steps need and that is not installed.

    A module that holds what cannot be pickled (a lock, an open file) is imported where it is needed, but for those that the
    functions themselves are of.
    """
    try:
        return packed(value, frozenset[str]().union(*map(packages_of, whats)))
    except Exception:
        return packed(value, {home_of(what) for what in whats})


def packed(value: Any, packages: Iterable[str]) -> bytes:
    """Return the bytes of something, with where modules are found and with the code of some packages."""
    import cloudpickle

    with ExitStack() as stack:
        for package in packages:
            stack.enter_context(_by_value(package))
        inner = cloudpickle.dumps(value)
    return bytes(cloudpickle.dumps((sys.path, inner)))


def unpacked(content: bytes) -> Any:
    """Return what `packed` has packed."""
    import cloudpickle

    paths, inner = cloudpickle.loads(content)
    sys.path += [entry for entry in paths if entry not in sys.path]
    return cloudpickle.loads(inner)


def write(name: str, content: bytes, host_folder: str | None) -> Path:
    """Write something for a worker; return where it lies."""
    folder = private_folder(host_folder) / "calls"
    folder.mkdir(mode=0o700, exist_ok=True)
    _forget_old(folder)
    path = folder / name
    _write(path, content)
    return path


def write_back(path: Path, content: bytes) -> None:
    """Write something for the process that has given what lay at a path."""
    _write(path.with_suffix(".back"), content)


def read_back(path: Path) -> Any:
    """Read what a worker gave back for what was given at a path, once; None if there is nothing."""
    import cloudpickle

    target = path.with_suffix(".back")
    try:
        content = target.read_bytes()
    except FileNotFoundError:
        return None
    target.unlink()
    return cloudpickle.loads(content)


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
