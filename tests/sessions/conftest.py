"""Sessions in folders of their own, and other processes that use them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from workbench.sessions import Sessions
from workbench.settings import Settings

URL = "file:///tests"


@pytest.fixture
def memory() -> Iterator[Path]:
    """Give a folder in shared memory, where there is one."""
    shm = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="workbench-tests-", dir=shm if os.access(shm, os.W_OK) else None))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def make_sessions(memory: Path, tmp_path: Path) -> Iterator[Callable[..., Sessions]]:
    """Give a function that opens the sessions of one workspace, as another kernel would."""
    made: list[Sessions] = []

    def make(url: str = URL, **settings: object) -> Sessions:
        given = {"session_folder": str(memory), "session_spill": str(tmp_path / "spill"), **settings}
        made.append(Sessions(Settings(**given), url))
        return made[-1]

    yield make
    for sessions in made:
        sessions.close()


@pytest.fixture
def sessions(make_sessions: Callable[..., Sessions]) -> Sessions:
    return make_sessions()


class Python:
    """Runs code in other processes, with ``sessions`` and ``s`` (the session "tuning") at hand."""

    def __init__(self, folder: Path, spill: Path) -> None:
        self._begin = textwrap.dedent(f"""
            import os, sys, time, warnings
            import numpy as np
            from workbench.settings import Settings
            from workbench.sessions import Sessions
            sessions = Sessions(Settings(session_folder={str(folder)!r}, session_spill={str(spill)!r}), {URL!r})
            s = sessions.open("tuning")
        """)
        self.started: list[subprocess.Popen[str]] = []

    def start(self, code: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", self._begin + textwrap.dedent(code)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def __call__(self, code: str) -> str:
        """Run code to its end and return what it printed."""
        process = self.start(code)
        out, error = process.communicate(timeout=60)
        assert process.returncode == 0, error
        return out.strip()


@pytest.fixture
def python(memory: Path, tmp_path: Path) -> Iterator[Python]:
    """Give other processes on the same sessions."""
    runner = Python(memory, tmp_path / "spill")
    yield runner
    for process in runner.started:
        if process.poll() is None:
            process.kill()
        process.communicate()
