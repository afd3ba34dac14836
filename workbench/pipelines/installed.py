"""Which modules are installed: of those the name and the version say enough, all others count by what they say."""

from __future__ import annotations

import functools
import importlib.machinery
import sys
import sysconfig
from pathlib import Path

_PLACES = frozenset({"site-packages", "dist-packages"})
_COMPILED = tuple(importlib.machinery.EXTENSION_SUFFIXES)


def is_installed(name: str) -> bool:
    """Tell whether a module is of Python, of an installed package, or compiled; workbench itself counts as installed."""
    package = name.partition(".")[0]
    if package in ("workbench", "builtins") or (package in sys.stdlib_module_names and package != "__main__"):
        return True
    file = getattr(sys.modules.get(name), "__file__", None)
    return file is not None and is_installed_file(file)


@functools.lru_cache(maxsize=4096)
def is_installed_file(file: str) -> bool:
    """Tell whether a file lies where packages are installed, or is compiled."""
    path = Path(file)
    if file.endswith(_COMPILED) or not _PLACES.isdisjoint(path.parts):
        return True
    paths = sysconfig.get_paths()
    return any(path.is_relative_to(paths[key]) for key in ("stdlib", "platstdlib", "purelib", "platlib"))


def with_version(module: str | None) -> str:
    """Return the name of a module, with the version of its package where it tells one."""
    package = str(module).partition(".")[0]
    return f"{module} {getattr(sys.modules.get(package), '__version__', '')}"
