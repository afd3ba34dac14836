"""What surrounded a run: Python, packages, machine, and the state of the git checkout."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from workbench.models import now
from workbench.storage.store import Store

COLLECTION = "environments"
GIT_REFRESH_S = 30.0


class Environment:
    """The environment of this process.

    Package versions are read once per process, in the background, and stored once per content as
    ``environments/<digest>.json``; a run's record holds the digest. The git facts of the current folder are refreshed in the
    background and carry the time when they were read.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._digest = ""
        self._published = False
        self._git: dict[str, Any] = {}
        self._git_asked = 0.0
        self._lock = threading.Lock()
        self._snapshot: dict[str, Any] = {}
        self._reader: threading.Thread | None = None

    def prepare(self) -> None:
        """Begin to read, without waiting; called when a run starts."""
        with self._lock:
            if self._reader is None:
                self._reader = threading.Thread(target=self._read, name="workbench-environment", daemon=True)
                self._reader.start()
            if time.monotonic() - self._git_asked > GIT_REFRESH_S or not self._git_asked:
                self._git_asked = time.monotonic()
                threading.Thread(
                    target=self._read_git, args=(Path.cwd(),), name="workbench-git", daemon=True
                ).start()

    def facts(self) -> dict[str, Any]:
        """Return what goes into a run's record; waits for the first reading of the packages."""
        self.prepare()
        assert self._reader is not None
        self._reader.join()
        with self._lock:
            if not self._published:
                key = f"{self._digest}.json"
                if not self._store.exist(COLLECTION, [key])[0]:
                    self._store.put(COLLECTION, key, json.dumps(self._snapshot, indent=1, sort_keys=True))
                self._published = True
            return {
                "digest": self._digest,
                "python": self._snapshot["python"],
                "workbench": self._snapshot["packages"].get("jupyter-workbench", ""),
                **({"git": self._git} if self._git else {}),
            }

    def adopt(self, facts: dict[str, Any]) -> None:
        """Take over what another process says of git, for runs that this one starts in its place."""
        with self._lock:
            self._git, self._git_asked = facts.get("git", {}), time.monotonic()

    def _read(self) -> None:
        from importlib.metadata import distributions

        from blake3 import blake3

        packages = {}
        for distribution in distributions():
            name = distribution.metadata["Name"]
            if name and name.lower() not in packages:  # the first one found is the one that is imported
                packages[name.lower()] = distribution.version
        self._snapshot = {
            "python": platform.python_version(),
            "implementation": platform.python_implementation(),
            "platform": platform.platform(),
            "machine": platform.machine(),
            "executable": sys.executable,
            "packages": dict(sorted(packages.items())),
        }
        self._digest = blake3(json.dumps(self._snapshot, sort_keys=True).encode()).hexdigest()[:32]

    def _read_git(self, folder: Path) -> None:
        facts = git_facts(folder)
        with self._lock:
            self._git = facts


def git_facts(folder: Path) -> dict[str, Any]:
    """Return commit, branch, root and dirty flag of the checkout around a folder; empty outside of one."""

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(folder), *arguments],
                capture_output=True,
                text=True,
                timeout=20,
                check=False,
                stdin=subprocess.DEVNULL,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    root = git("rev-parse", "--show-toplevel")
    commit = git("rev-parse", "HEAD") if root else None
    if not root or not commit:
        return {}
    status = git("status", "--porcelain", "--untracked-files=no")
    return {
        "commit": commit,
        "branch": git("rev-parse", "--abbrev-ref", "HEAD"),
        "root": root,
        "dirty": bool(status),
        "checked": now().isoformat(),
    }
