"""What notebooks have imported, learned for those that come after them: a file beside the nurseries with a module in each line."""

from __future__ import annotations

import ast
import importlib
import os
import signal
import sys
import sysconfig
from collections.abc import Sequence
from contextlib import suppress
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from nbformat import NotebookNode

MOST = 64
_PROBE_S = 60
#: what kernels set up for themselves, or what begins with processes, loops and windows of its own
_NEVER = {"matplotlib", "IPython", "ipykernel", "ipywidgets", "workbench", "zmq", "tornado", "tkinter", "dask", "distributed", "ray"}  # fmt: skip


def path_in(folder: Path) -> Path:
    """Return the file of this installation of Python in the folder of the nurseries."""
    from blake3 import blake3

    return folder / f"{blake3(sys.prefix.encode()).hexdigest()[:16]}.learned"


def imports_of(notebook: NotebookNode) -> list[str]:
    """Return the modules that the code cells of a notebook import at their top, in their order."""
    names: dict[str, None] = {}
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        lines = cell.source.splitlines()
        source = "\n".join("" if line.lstrip().startswith(("%", "!")) else line for line in lines)
        with suppress(SyntaxError, ValueError):
            for node in ast.parse(source).body:
                if isinstance(node, ast.Import):
                    names |= dict.fromkeys(alias.name for alias in node.names)
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    names |= dict.fromkeys([node.module, *(f"{node.module}.{a.name}" for a in node.names)])
    return list(names)


def is_installed(name: str) -> bool:
    """Tell whether a module comes with Python or was installed; one that lies beside a notebook is another for the next one."""
    top, *rest = name.split(".")
    places = [sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib")]
    found = None if top in _NEVER else PathFinder.find_spec(top, places)
    for part in rest:  # looked for only: to import a package can take seconds
        top = f"{top}.{part}"
        inside = found.submodule_search_locations if found is not None else None
        found = PathFinder.find_spec(top, inside) if inside is not None else None
    return found is not None


def note(path: Path, notebook: NotebookNode) -> None:
    """Write down what a notebook has imported in this process, as far as it is new."""
    _add(path, [name for name in imports_of(notebook) if name in sys.modules])


def expect(path: Path, notebook: NotebookNode) -> None:
    """Write down what a notebook will import, before it is run."""
    _add(path, imports_of(notebook))


def _add(path: Path, names: Sequence[str]) -> None:
    known = read(path)
    new = [n for n in names if n not in known and n not in sys.builtin_module_names and is_installed(n)]
    new = new[: max(0, MOST - len(known))]
    if new:
        with suppress(OSError), path.open("a", encoding="utf-8") as file:
            file.write("".join(f"{name}\n" for name in new))


def read(path: Path) -> list[str]:
    """Return what was written down."""
    with suppress(OSError):
        return path.read_text(encoding="utf-8").split()
    return []


def take_up(path: Path) -> None:
    """Import what was written down, in a process that forks and has not begun to, after a child has tried it."""
    names = [name for name in read(path) if name not in sys.modules and is_installed(name)]
    for tried in [names] if _is_safe(names) else [[name] for name in names if _is_safe([name])]:
        for name in tried:
            with suppress(Exception):
                importlib.import_module(name)


def _is_safe(names: Sequence[str]) -> bool:
    pid = os.fork()
    if pid == 0:
        probe(*names)
    return os.waitpid(pid, 0)[1] == 0


def probe(*names: str) -> NoReturn:
    """Be a child that imports modules and ends with 0 if a process that forks may import them too.

    It may not if it fails, hangs or crashes, chooses how figures are shown, or leaves threads: those of Python, and native ones
    that do not end for a fork as OpenBLAS's do. A fork would copy their locks and not them.
    """
    code = 1
    try:
        signal.alarm(_PROBE_S)
        for name in names:
            importlib.import_module(name)
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        tasks = Path("/proc/self/task")
        threads = len(list(tasks.iterdir())) if tasks.is_dir() else len(sys._current_frames())
        code = int(threads > 1 or "matplotlib.pyplot" in sys.modules)
    finally:
        os._exit(code)
