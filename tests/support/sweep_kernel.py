"""A process that starts a sweep and says so, for tests that kill it: workspace, file for marks, points, milliseconds, what."""

from __future__ import annotations

import sys

import workbench


def main() -> None:
    url, marks, count, ms, what = sys.argv[1:]
    with workbench.open(url, workers=2) as ws:
        sweep = ws.sweeps.run(
            what,
            {"x": range(int(count))},
            fixed={"marks": marks, "ms": int(ms)},
            reuse="never",
            wait=False,
        )
        print(sweep.id, flush=True)
        sweep.wait()


if __name__ == "__main__":
    main()
