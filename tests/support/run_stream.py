"""A kernel that gives runs to the background without end, and tells what it was told: for tests that kill it."""

from __future__ import annotations

import random
import sys

import workbench


def main() -> None:
    """Run until killed: ``python run_stream.py WORKSPACE SEED``."""
    ws = workbench.open(sys.argv[1], workers=2)
    chance = random.Random(sys.argv[2])
    while True:
        runs = [
            ws.run("stream", parameters={"ms": chance.choice([0, 0, 5, 40])}, executor="process", wait=False)
            for _ in range(4)
        ]
        for run in runs:
            print("submitted", run.id, flush=True)
        for run in runs:
            run.wait(60)
            print(run.status, run.id, flush=True)


if __name__ == "__main__":
    main()
