"""What surrounded a run."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from workbench.execution.environment import Environment, git_facts
from workbench.process_identity import is_gone, this_process
from workbench.storage.fsspec_store import FsspecStore


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    def git(*words: str) -> None:
        identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
        subprocess.run(["git", "-C", str(tmp_path), *identity, *words], check=True, capture_output=True)

    git("init", "-b", "main")
    (tmp_path / "file").write_text("one")
    git("add", "file")
    git("commit", "-m", "first")
    return tmp_path


def test_git_facts_name_commit_and_branch_and_notice_changes(checkout: Path) -> None:
    clean = git_facts(checkout)
    assert (clean["branch"], clean["dirty"], len(clean["commit"])) == ("main", False, 40)
    assert clean["checked"].endswith("+00:00")
    (checkout / "file").write_text("two")
    assert git_facts(checkout)["dirty"]


def test_outside_of_a_checkout_there_are_no_git_facts(tmp_path: Path) -> None:
    assert git_facts(tmp_path) == {}


def test_packages_are_stored_once_and_named_by_digest(tmp_path: Path) -> None:
    store = FsspecStore(tmp_path)
    store.create_collections(["environments"])
    first, second = Environment(store).facts(), Environment(store).facts()
    assert first["digest"] == second["digest"]
    assert [i.key for i in store.list("environments")] == [f"{first['digest']}.json"]
    stored = json.loads(store.get("environments", f"{first['digest']}.json"))
    assert stored["packages"]["numpy"] == np.__version__


def test_git_state_is_read_in_the_background(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(checkout)
    store = FsspecStore(checkout / ".store")
    store.create_collections(["environments"])
    environment = Environment(store)
    end = time.monotonic() + 20
    while "git" not in environment.facts() and time.monotonic() < end:
        time.sleep(0.02)
    assert environment.facts()["git"]["branch"] == "main"


def test_a_process_is_known_by_id_and_start_time() -> None:
    pid, started, host, _ = this_process()
    assert started is not None
    assert not is_gone(pid, started, host)
    assert is_gone(pid, started - 100, host)  # the id was given to another process
    ended = subprocess.Popen(["true"])
    ended.wait()
    assert is_gone(ended.pid, None, host)
    assert not is_gone(ended.pid, None, "another-host")
