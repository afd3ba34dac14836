"""The names that folders written for Compox import, served by our own classes.

The modules made here never enter ``sys.modules``: ``algorithms.loader`` hands them to packages read from
``[tool.compox]`` and to nobody else. Both spellings exist: ``compox.algorithm_utils...`` and, as in older folders,
``algorithm_utils...``.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from types import ModuleType
from typing import Any, NoReturn

from workbench import runners
from workbench.errors import UnsupportedError, did_you_mean

_RUNNERS = (
    "BaseRunner",
    "Image2ImageRunner",
    "Image2SegmentationRunner",
    "Image2AlignmentRunner",
    "Image2EmbeddingRunner",
    "Segmentation2SegmentationRunner",
)
_SCHEMAS = (
    "DataSchema",
    "GenericSchema",
    "ImageSchema",
    "SegmentationSchema",
    "VolumeSchema",
    "MeshSchema",
    "AlignmentSchema",
    "EmbeddingSchema",
)
TOP_NAMES = frozenset({"compox", "algorithm_utils", "tasks", "algorithm_debug"})


class DebuggingTaskHandler:
    """The name that the ``if __name__ == "__main__"`` block of a Compox folder imports; making one says what to do."""

    def __init__(self, task_id: str) -> None:
        _use_debug_runs("DebuggingTaskHandler")


def debug(
    algo_dir: str = ".", data: str = ".", params: dict[str, Any] | None = None, device: str = "cpu"
) -> NoReturn:
    """Refuse, and say how a folder is debugged here."""
    _use_debug_runs("compox.algorithm_debug.debug", algo_dir)


def _use_debug_runs(name: str, folder: str = "path/to/folder") -> NoReturn:
    raise UnsupportedError(
        f"{name} is not available in workbench, which runs a folder in debug mode itself. "
        f"Use ws.run({folder!r}, inputs=[...], debug=True), or in a notebook %algorun {folder} --debug."
    )


def find(name: str) -> ModuleType:
    """Return the alias module of this full name, e.g. ``"compox.algorithm_utils.BaseRunner"``.

    Raises
    ------
    ModuleNotFoundError
        With the names that are served.
    """
    modules = _modules()
    if name not in modules:
        leaves = sorted(n for n in modules if n.startswith("compox.") and not hasattr(modules[n], "__path__"))
        raise ModuleNotFoundError(
            f"No module named {name!r}: workbench serves the part of Compox that algorithms use."
            f"{did_you_mean(name, modules)} Available: {', '.join(leaves)}.",
            name=name,
        )
    return modules[name]


@cache
def _modules() -> dict[str, ModuleType]:
    from workbench import schemas

    modules: dict[str, ModuleType] = {}
    for prefix in ("compox.", ""):
        for name in _RUNNERS:
            _add(modules, f"{prefix}algorithm_utils.{name}", {name: getattr(runners, name)})
        _add(modules, f"{prefix}algorithm_utils.io_schemas", _public(schemas, _SCHEMAS))
        _add(modules, f"{prefix}tasks.DebuggingTaskHandler", {"DebuggingTaskHandler": DebuggingTaskHandler})
        _add(modules, f"{prefix}algorithm_debug", {"debug": debug})
    return modules


def _public(module: ModuleType, names: Iterable[str]) -> dict[str, Any]:
    return {name: getattr(module, name) for name in names}


def _add(modules: dict[str, ModuleType], name: str, content: dict[str, Any]) -> None:
    """Make the module and the packages above it, each an attribute of the one above."""
    module = ModuleType(name, f"Served by workbench to folders written for Compox: {', '.join(content)}.")
    vars(module).update(content, __all__=list(content))
    while True:
        modules[name] = module
        parent_name, _, last = name.rpartition(".")
        if not parent_name:
            return
        parent = modules.get(parent_name) or ModuleType(parent_name)
        parent.__path__ = []
        setattr(parent, last, module)
        name, module = parent_name, parent
