"""What a forked process does not share with its parent, and how it ends without walking through what it does."""

from __future__ import annotations

import atexit
import gc
import os
import random
import sys
import weakref
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from workbench.settings import chosen_environment, replace_environment

INLINE = "module://matplotlib_inline.backend_inline"


def make_random() -> None:
    """Give a forked process random state of its own."""
    random.seed()
    if "numpy" in sys.modules and "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()
    if "torch" in sys.modules:
        # of the processor; other devices have not been used in the parent, and so begin anew
        sys.modules["torch"].default_generator.seed()


def make_fresh(cwd: str | None = None, environment: Mapping[str, str] | None = None) -> None:
    """Give a forked process a folder and an environment of its own.

    Parameters
    ----------
    cwd : str, optional
        Working folder.
    environment : mapping, optional
        Replaces all environment variables.
    """
    if environment is not None:
        replace_environment(environment)
    if cwd is not None:
        os.chdir(cwd)
    # its first import looks for the shell that shall show figures, and there was none
    sys.modules.pop("matplotlib_inline.backend_inline", None)
    choose_backend()


def choose_backend() -> None:
    """Let matplotlib, if it is imported, show figures as the environment says: it has read that before the fork, at its import."""
    matplotlib = sys.modules.get("matplotlib")
    if matplotlib is None:
        return
    backend = chosen_environment(["MPLBACKEND"])["MPLBACKEND"] or INLINE
    # to set it takes milliseconds; a plain look would make it choose one where none is chosen yet
    if dict.__getitem__(matplotlib.rcParams, "backend") != backend:
        matplotlib.rcParams["backend"] = backend


def keep_past_end() -> None:
    """Let what this process has now, such as sessions of a store, outlive `end_quietly`: it is needed to save the notebook."""
    for finalizer in list(weakref.finalize._registry):  # type: ignore[attr-defined]
        finalizer.atexit = False


def end_quietly(shell: Any) -> None:
    """Do what matters of the end of an interpreter: exit functions are called, files flushed and closed.

    A full end would walk through, and so copy, all that the parent has imported.

    Parameters
    ----------
    shell
        IPython's shell of this process; its namespace is gone afterwards.
    """
    with suppress(BaseException):
        atexit._run_exitfuncs()
    with suppress(BaseException):
        shell.user_ns.clear()
        shell.history_manager.reset()
        gc.collect()
