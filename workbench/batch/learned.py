"""What notebooks have imported, learned for those that come after them: a file beside the nursery with a module in each line."""

from __future__ import annotations

import ast
import importlib
import os
import signal
import sys
import sysconfig
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
    top = name.partition(".")[0]
    folders = [sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib")]
    return top not in _NEVER and PathFinder.find_spec(top, folders) is not None


def note(path: Path, notebook: NotebookNode) -> None:
    """Write down what a notebook has imported in this process, as far as it is new."""
    imported = [
        name for name in imports_of(notebook) if name in sys.modules and name not in sys.builtin_module_names
    ]
    known = read(path)
    new = [name for name in imported if name not in known and is_installed(name)][: max(0, MOST - len(known))]
    if new:
        with suppress(OSError), path.open("a", encoding="utf-8") as file:
            file.write("".join(f"{name}\n" for name in new))


def read(path: Path) -> list[str]:
    """Return what was written down."""
    with suppress(OSError):
        return path.read_text(encoding="utf-8").split()
    return []


def probe(name: str) -> NoReturn:
    """Be a child that imports a module and ends with 0 if a process that forks may import it too.

    It may not if it fails, hangs or crashes, chooses how figures are shown, or leaves threads: those of Python, and native ones
    that do not end for a fork as OpenBLAS's do. A fork would copy their locks and not them.
    """
    code = 1
    try:
        signal.alarm(_PROBE_S)
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
