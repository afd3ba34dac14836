"""What importing and opening cost: whole processes, in turn. Limits: python -c pass, bare IPython, the import of the SQL library."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from harness import Contest, seconds


def python(code: str) -> float:
    return seconds(lambda: subprocess.run([sys.executable, "-c", code], check=True, capture_output=True))


def ipython(line: str) -> float:
    command = [sys.executable, "-m", "IPython", "--no-banner", "--no-confirm-exit", "-c", line]
    return seconds(lambda: subprocess.run(command, check=True, capture_output=True))


def main(rounds: int = 9) -> None:
    contest = Contest("import workbench (bound: 45 ms over pass)", limit="limit: pass")
    for name, code in {
        "limit: pass": "pass",
        "workbench": "import workbench",
        "pydantic": "import pydantic",
        "numpy": "import numpy",
        "fsspec": "import fsspec",
        "ipywidgets": "import ipywidgets",
    }.items():
        contest.add(name, lambda code=code: {"process": python(code)})
    figures = contest.run(rounds)
    over(figures, "workbench", "limit: pass", "process", 0.045)

    contest = Contest("%load_ext workbench (bound: 100 ms over bare IPython)", limit="limit: bare IPython")
    contest.add("limit: bare IPython", lambda: {"process": ipython("pass")})
    contest.add("workbench", lambda: {"process": ipython("%load_ext workbench")})
    contest.add("autoreload", lambda: {"process": ipython("%load_ext autoreload")})
    figures = contest.run(rounds)
    over(figures, "workbench", "limit: bare IPython", "process", 0.100)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ws"
        python(f"import workbench; workbench.open({str(path)!r})")
        contest = Contest("workbench.open() of an existing folder", limit="limit: import sqlalchemy")
        contest.add("limit: import sqlalchemy", lambda: {"process": python("import sqlalchemy")})
        contest.add(
            "workbench", lambda: {"process": python(f"import workbench; workbench.open({str(path)!r})")}
        )
        contest.add("import alembic", lambda: {"process": python("import alembic")})
        contest.target("workbench", "process", ratio=1.5)
        contest.run(rounds)


def over(
    figures: dict[str, dict[str, list[float]]], name: str, limit: str, metric: str, bound: float
) -> None:
    differences = sorted(a - b for a, b in zip(figures[name][metric], figures[limit][metric], strict=True))
    middle = differences[len(differences) // 2]
    print(
        f"  {name} over {limit}: {middle * 1e3:.1f} ms   bound {bound * 1e3:g} ms: {'ok' if middle <= bound else 'MISSED'}"
    )


if __name__ == "__main__":
    main()
