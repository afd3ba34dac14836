"""What a forked process does not share with its parent, and how it ends without walking through what it does."""

from __future__ import annotations

import atexit
import gc
import os
import random
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from workbench.settings import chosen_environment, replace_environment


def make_fresh(cwd: str | None = None, environment: Mapping[str, str] | None = None) -> None:
    """Give a forked process random state, and, if they are named, a folder and an environment of its own.

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
    random.seed()
    if "numpy" in sys.modules and "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()
    if "torch" in sys.modules:
        sys.modules["torch"].seed()
    # its first import looks for the shell that shall show figures, and there was none
    sys.modules.pop("matplotlib_inline.backend_inline", None)
    matplotlib = sys.modules.get("matplotlib")
    if matplotlib is not None and not chosen_environment(["MPLBACKEND"])["MPLBACKEND"]:
        # it has read the environment before it was forked
        matplotlib.rcParams["backend"] = "module://matplotlib_inline.backend_inline"


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
