"""New pictures a second while the slider of a viewer is dragged, in JupyterLab and Chromium: 1000 x 2048 x 2048 uint16, 8 GB.

Beside them, in a process of its own: what one picture costs the kernel, and how much its memory grows over 100 of them.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from lab_browser import Lab, chromium, running_lab, write_notebook

SHAPE = (1000, 2048, 2048)
WRITTEN = 50  # one slice in so many holds data, the rest of the file is a hole: read like all else, and no 12 GB of disk
BOUND = 20

CELL = """import h5py
from workbench.notebook.viewer import Viewer
file = h5py.File("stack.h5")
Viewer(file["image"], {mask}index=0, title="bench")"""

# From end to end, so that no slice is shown twice; the slider moves with each frame, as under a hand.
DRAG = """async (seconds) => {
  const root = document.querySelector('.wb-viewer');
  const slider = root.querySelector('.wb-viewer-transport input[type=range]');
  const start = performance.now(), slices = new Set();
  let passed = 0;
  while (passed < seconds) {
    slider.value = Math.min(Number(slider.max), Math.round((passed / seconds) * slider.max));
    slider.dispatchEvent(new Event('input'));
    await new Promise(requestAnimationFrame);
    slices.add(root.dataset.index);
    passed = (performance.now() - start) / 1000;
  }
  return slices.size / passed;
}"""

KERNEL = """
import json, statistics, sys, time
from pathlib import Path
import h5py
from workbench.notebook.viewer import Viewer

def memory(which):
    line = next(l for l in Path("/proc/self/status").read_text().splitlines() if l.startswith(which))
    return int(line.split()[1]) / 1024

file = h5py.File(sys.argv[1])
figures = {}
for name, mask in {"without mask": None, "with mask": file["mask"]}.items():
    viewer = Viewer(file["image"], mask=mask)
    request = {"size": (514, 514), "moving": True, "raw": True}
    begin = time.perf_counter()
    viewer.picture({**request, "index": 0})
    first = time.perf_counter() - begin
    before, spent = memory("VmRSS"), []
    for index in range(0, 1000, 10):
        begin = time.perf_counter()
        viewer.picture({**request, "index": index})
        spent.append(time.perf_counter() - begin)
    figures[name] = [first * 1e3, statistics.median(spent) * 1e3, memory("VmHWM") - before]
print(json.dumps(figures))
"""


def write_stack(path: Path) -> None:
    """Write the image and its mask."""
    y, x = np.mgrid[: SHAPE[1], : SHAPE[2]]
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        image = file.create_dataset("image", SHAPE, np.uint16)
        mask = file.create_dataset("mask", SHAPE, np.uint8)
        for i in range(0, SHAPE[0], WRITTEN):
            noise = rng.integers(0, 300, SHAPE[1:])
            image[i] = ((x + 40 * i) % 500 * 3 + y // 2 + noise).astype(np.uint16)
            mask[i] = ((x + y + i) // 200 % 7).astype(np.uint8)


def kernel(path: Path) -> None:
    """Print what pictures cost the kernel."""
    done = subprocess.run(
        [sys.executable, "-c", KERNEL, str(path)], capture_output=True, text=True, check=True
    )
    print("\nin the kernel")
    for name, (first, each, grown) in json.loads(done.stdout).items():
        print(f"  {name:14}first {first:6.1f} ms   each {each:6.2f} ms   memory {grown:+5.0f} MB of 8000")


def dragged(lab: Lab, notebook: str, seconds: float, rounds: int) -> list[float]:
    """Return the new pictures per second of each drag."""
    page: Any = lab.open(notebook)
    rates = []
    for _ in range(rounds):
        lab.run_cell(page)  # a new viewer, which has kept no pictures yet
        page.wait_for_selector(".wb-viewer[data-index='0']", timeout=60_000)
        rates.append(page.evaluate(DRAG, seconds))
    page.close()
    return rates


def main(seconds: float, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "notebooks"
        root.mkdir()
        write_stack(root / "stack.h5")
        print(f"\n## a viewer of {' x '.join(map(str, SHAPE))} uint16")
        kernel(root / "stack.h5")
        if chromium() is None or importlib.util.find_spec("playwright") is None:
            print("  in a browser: left out (Chromium or playwright is not installed)")
            return
        write_notebook(root / "plain.ipynb", [CELL.format(mask="")])
        write_notebook(root / "mask.ipynb", [CELL.format(mask='mask=file["mask"], ')])
        print(f"\nnew pictures a second in a drag of {seconds:g} s from end to end")
        with running_lab(root, Path(folder) / "lab") as lab:
            for name, notebook in {"without mask": "plain.ipynb", "with mask": "mask.ipynb"}.items():
                rates = dragged(lab, notebook, seconds, rounds)
                middle = statistics.median(rates)
                each = ", ".join(f"{rate:.0f}" for rate in rates)
                verdict = "ok" if middle >= BOUND else "MISSED"
                print(
                    f"  {name:14}{middle:5.1f}  ({each})   bound {BOUND}: {verdict}   load {os.getloadavg()[0]:.1f}"
                )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    main(args.seconds, args.rounds)
