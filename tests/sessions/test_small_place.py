"""A place of 64 MB, as /dev/shm is in a container: full at once, and nothing breaks."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from workbench.errors import StorageFullError
from workbench.sessions import Sessions
from workbench.sessions import place as places
from workbench.settings import Settings

Make = Callable[..., Sessions]
MIB = 1 << 20


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """Give a file system in memory of 64 MB."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    mount = shutil.which("mount")
    if os.getuid() != 0 or mount is None:
        pytest.skip("only root can mount a small tmpfs")
    done = subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"a small tmpfs cannot be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_what_does_not_fit_lies_on_disk(tiny: Path, make_sessions: Make) -> None:
    s = make_sessions(session_folder=str(tiny)).open("tuning")
    for number in range(8):
        s[f"k{number}"] = np.full(10 * MIB, number, np.uint8)
    s["large"] = np.full(100 * MIB, 9, np.uint8)
    assert [int(s[f"k{number}"][-1]) for number in range(8)] == list(range(8))
    assert (s["large"] == 9).all()
    where = {i.key: i.where for i in s.items_info()}
    assert where["large"] == where["k0"] == "disk"
    assert where["k7"] == "memory"


def test_a_place_that_is_full_of_other_things_is_no_crash(tiny: Path, make_sessions: Make) -> None:
    s = make_sessions(session_folder=str(tiny)).open("tuning")
    s["a"] = np.ones(MIB, np.uint8)
    (tiny / "ballast").write_bytes(b"x" * (55 * MIB))
    for number in range(6):  # the quota of 32 MB says yes, the system says no
        s[f"k{number}"] = np.full(4 * MIB, number, np.uint8)
    assert [int(s[f"k{number}"][-1]) for number in range(6)] == list(range(6))
    assert s["a"].sum() == MIB


def test_without_a_disk_a_full_place_is_an_error_that_loses_nothing(tiny: Path, make_sessions: Make) -> None:
    s = make_sessions(session_folder=str(tiny), session_spill="none", session_quota=1 << 30).open("tuning")
    s["a"] = np.ones(30 * MIB, np.uint8)
    for _ in range(3):
        with pytest.raises(StorageFullError, match=r"no room for item 'b' \(40.0 MiB\).*Nothing was stored"):
            s["b"] = np.ones(40 * MIB, np.uint8)
        with pytest.raises(StorageFullError, match="no room for item 'e'"):
            s.empty("e", 40 * MIB, np.uint8)
    assert (s["a"].sum(), len(s)) == (30 * MIB, 1)
    s["b"] = np.ones(10 * MIB, np.uint8)
    assert s.keys() == ["a", "b"]


def test_a_small_shared_memory_is_passed_over(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(places, "SHARED_MEMORY", tiny)
    monkeypatch.delenv("WORKBENCH_SESSION_FOLDER", raising=False)
    chosen = places.choose_place(Settings())
    assert not str(chosen.folder).startswith(str(tiny))
    sessions = Sessions(Settings(), "file:///small")
    sessions.open("t")["k"] = np.arange(100 * MIB // 8)
    assert sessions.open("t")["k"][-1] == 100 * MIB // 8 - 1
    sessions.drop("t")
    sessions.close()
