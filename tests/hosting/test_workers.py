"""Why a worker has ended, in words."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import time

import pytest

from workbench.hosting import workers
from workbench.hosting.workers import WorkerHandle


def killed(number: int) -> WorkerHandle:
    """Return the handle of a process that was ended by a signal."""
    ours, theirs = socket.socketpair()
    process = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(60,))
    process.start()
    os.kill(process.pid or 0, number)
    process.join(20)
    theirs.close()
    handle = WorkerHandle(process, ours, time.monotonic(), {})
    handle.connection.close()
    return handle


def test_a_signal_is_named() -> None:
    assert killed(signal.SIGTERM).why_ended() == f"was killed by signal {signal.SIGTERM:d} (SIGTERM)"
    assert "compiled code has crashed" in killed(signal.SIGSEGV).why_ended()


def test_a_kill_for_memory_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    handle = killed(signal.SIGKILL)
    handle.oom_kills, handle.rss = 3, 12_300_000_000
    monkeypatch.setattr(workers, "oom_kills", lambda: 3)
    assert handle.why_ended() == "was killed by signal 9 (SIGKILL)"
    monkeypatch.setattr(workers, "oom_kills", lambda: 4)  # the kernel's own count went up
    assert "because the machine ran out of memory; it had 12.3 GB" in handle.why_ended()
