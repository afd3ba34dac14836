"""Which kernel a notebook asks for, and whether a process of this interpreter can stand for it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.batch.cells import why_kernel
from workbench.errors import did_you_mean

if TYPE_CHECKING:
    from nbformat import NotebookNode

#: Names that mean the interpreter of whoever asks.
_OURS = ("", "python3", "python", "workbench-warm")


def missing_kernel(name: str, source: str) -> str:
    """Return what to say of a notebook whose kernel is not installed here; empty if it is, or if the cells need none."""
    if name in _OURS:
        return ""
    from jupyter_client.kernelspec import KernelSpecManager

    known = sorted(KernelSpecManager().find_kernel_specs())
    if name in known:
        return ""
    return (
        f"{source} is for the kernel {name!r}, which is not installed here."
        f"{did_you_mean(name, known)} Installed: {', '.join(known) or 'none'}. "
        "Choose one of them in the notebook, or install that kernel."
    )


def why_other_kernel(notebook: NotebookNode, kernel_name: str = "") -> str:
    """Return why a notebook needs a kernel process, or an empty string.

    Parameters
    ----------
    notebook : NotebookNode
    kernel_name : str
        Wins over the name in the notebook.
    """
    name = kernel_name or notebook.metadata.get("kernelspec", {}).get("name", "")
    if name in _OURS:
        return why_kernel(notebook)
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    try:
        spec = KernelSpecManager().get_kernel_spec(name)
    except NoSuchKernel:
        return f"no kernel named {name!r} is installed here"
    if spec.language.casefold() != "python":
        return f"it is written in {spec.language}"
    program = spec.argv[0] if spec.argv else ""
    is_ours = Path(program).name == program or Path(program).absolute() == Path(sys.executable).absolute()
    if not is_ours or spec.env or "ipykernel_launcher" not in spec.argv:
        return f"its kernel {name!r} is one of another environment"
    return why_kernel(notebook)
