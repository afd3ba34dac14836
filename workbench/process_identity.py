"""Who a process is: its id, when it started and on which host. The id alone is reused by the system."""

from __future__ import annotations

import getpass
import os
import socket
from contextlib import suppress
from functools import lru_cache

START_TOLERANCE_S = 2.0


@lru_cache(maxsize=1)
def _here(pid: int) -> tuple[int, float | None, str, str]:
    import psutil

    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in some containers
        user = str(os.getuid()) if hasattr(os, "getuid") else ""
    return pid, psutil.Process(pid).create_time(), socket.gethostname(), user


def this_process() -> tuple[int, float | None, str, str]:
    """Return process id, start time (seconds since the epoch), host name and user name of this process."""
    return _here(os.getpid())


def is_gone(pid: int | None, started: float | None, host: str) -> bool:
    """Tell whether a process has certainly ended; one on another host is given the benefit of the doubt.

    A zombie has ended. An id that was reused belongs to a process that started at another time.
    """
    if host != socket.gethostname():
        return False
    if pid is None:
        return True
    import psutil

    try:
        process = psutil.Process(pid)
        created = process.create_time()
        if process.status() == psutil.STATUS_ZOMBIE:
            return True
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False
    return started is not None and abs(created - started) > START_TOLERANCE_S


def wait_gone(pid: int | None, started: float | None, host: str, timeout_s: float) -> bool:
    """Wait until a process has ended, of which the system tells; return False if it has not in time."""
    import psutil

    if not is_gone(pid, started, host) and host == socket.gethostname():
        with suppress(psutil.Error):
            psutil.Process(pid).wait(timeout_s)
    return is_gone(pid, started, host)
