from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_repo2docker_accepts_the_environment():
    program = shutil.which("jupyter-repo2docker", path=Path(sys.executable).parent) or pytest.skip(
        "jupyter-repo2docker is not installed"
    )
    done = subprocess.run(
        [program, "--no-build", "--debug", str(ROOT)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    dockerfile = done.stdout + done.stderr
    assert "binder/environment.yml" in dockerfile
    assert "RUN ./binder/postBuild" in dockerfile
