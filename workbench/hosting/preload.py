"""What every worker has imported before it is forked. Imported once, by the server that forks them."""

from __future__ import annotations

import gc
import importlib
import weakref
from contextlib import suppress

_MODULES = (
    "numpy",
    "numpy.random",
    "h5py",
    "sqlalchemy.dialects.sqlite",
    "workbench.catalog",
    "workbench.algorithms",
    "workbench.algorithms.loader",
    "workbench.algorithms.runnable",
    "workbench.execution.capture",
    "workbench.execution.context",
    "workbench.execution.inputs",
    "workbench.execution.perform",
    "workbench.execution.runs",
    "workbench.hosting.conducted_run",
    "workbench.hosting.worker",
    "workbench.library",
    "workbench.pipelines.pipelines",
    "workbench.runners",
    "workbench.schemas",
    "workbench.storage.hdf5",
    "workbench.workspace",
    "torch",
    # notebooks
    "nbformat.v4",
    "ipykernel.kernelapp",
    "ipykernel.ipkernel",
    "ipykernel.zmqshell",
    "ipykernel.debugger",
    "jupyter_client.localinterfaces",
    "IPython.core.completerlib",
    "IPython.core.debugger",
    "IPython.core.oinspect",
    "IPython.extensions.storemagic",
    "ipywidgets",
    "ipykernel.pylab.backend_inline",
    "IPython.core.completer",
    "IPython.core.magics",
    "IPython.core.ultratb",
    "matplotlib_inline.config",
    "comm",
    "workbench.batch.cells",
    "workbench.batch.memory_kernel",
    "workbench.batch.perform_notebook",
)

for _name in _MODULES:
    with suppress(
        Exception
    ):  # what is missing or broken is missed by the algorithm that needs it, with its own error
        importlib.import_module(_name)
with suppress(Exception):  # what notebooks have imported here before, or will now
    from workbench.batch import learned
    from workbench.execution.host_address import private_folder
    from workbench.settings import load

    learned.take_up(learned.path_in(private_folder(load()[0].host_folder)))
with suppress(Exception):
    from workbench.models import RunRecord

    RunRecord.model_rebuild()  # its validator is built once, here
for _finalizer in list(weakref.finalize._registry):  # type: ignore[attr-defined]
    _finalizer.atexit = False  # what was made here ends with this process, not with each of its children
gc.collect()
gc.freeze()  # a collection in a child would touch, and so copy, every page of its parent
