"""A nursery that is warm before the first test, and gone after the last."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from notebook_runs import wait_until

from workbench.batch import children
from workbench.settings import Settings

PRELOAD = "numpy"


@pytest.fixture(scope="module")
def nursery(host_folder: Path) -> Iterator[Settings]:
    settings = Settings(host_folder=str(host_folder), notebook_preload=(PRELOAD,), host_idle_s=300)
    children.start_nursery(settings)
    wait_until(lambda: children.is_warm(settings))
    yield settings
    children.stop_nursery(settings)
    for lock in host_folder.glob("*.lock"):  # those of other interpreters' paths
        if lock.with_suffix(".nursery").exists():
            os.kill(int(lock.read_text()), signal.SIGKILL)


@pytest.fixture(autouse=True)
def _its_settings(monkeypatch: pytest.MonkeyPatch, _own_folders: None) -> None:
    monkeypatch.setenv("WORKBENCH_NOTEBOOK_PRELOAD", PRELOAD)
