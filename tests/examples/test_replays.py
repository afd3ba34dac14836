"""Every example algorithm, run here and replayed in a fresh process, gives the same bits."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest


@pytest.mark.parametrize("name", ["denoise", "embed", "register", "segment", "texture"])
def test_an_example_replayed_in_a_fresh_process_is_identical(bench, picture, name):
    if name in {"embed", "texture"}:
        pytest.importorskip("torch")
    image = picture("camera")[:128, :128]
    first = bench.run(name, np.stack([image, np.roll(image, 3, axis=1)]))
    assert first.status == "COMPLETED", first
    command = [sys.executable, "-m", "workbench", "-w", bench.url, "replay", first.id]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ": identical." in done.stdout
