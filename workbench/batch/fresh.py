"""What a process forks away from: its random state, environment and working folder."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Mapping

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
    matplotlib = sys.modules.get("matplotlib")
    if matplotlib is not None and not chosen_environment(["MPLBACKEND"])["MPLBACKEND"]:
        # it has read the environment before it was forked
        matplotlib.rcParams["backend"] = "module://matplotlib_inline.backend_inline"
