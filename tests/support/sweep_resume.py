"""A process that resumes a sweep as soon as a file is there, and says how it ended: workspace, sweep, file."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import workbench
from workbench.errors import ConflictError


def main() -> None:
    url, sweep_id, go = sys.argv[1:]
    with workbench.open(url, workers=2) as ws:
        sweep = ws.sweeps.get(sweep_id)
        print("ready", flush=True)
        while not Path(go).exists():
            time.sleep(0.001)
        try:
            print(sweep.resume().counts, flush=True)
        except ConflictError as error:
            print(error, flush=True)


if __name__ == "__main__":
    main()
