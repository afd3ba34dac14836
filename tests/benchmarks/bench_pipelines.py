"""What a pipeline costs beside what its steps do: ten steps of 10 ms, in the kernel. Limit: the functions called in a loop.

``on top per step`` is what is left of the whole when the loop is taken away, for each of ten steps. The steps rest, so that a
machine with other work disturbs them little.
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from harness import Contest, seconds

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from algorithm_folders import generic, write_algorithm

STEPS, STEP_S = 10, 0.010
RESTING = f"import time\ntime.sleep({STEP_S})\nreturn [d['data'] + 1 for d in data]"


def rest(x: Any, add: float) -> Any:
    time.sleep(STEP_S)
    return x + add


def loop(x: Any) -> Any:
    for number in range(STEPS):
        x = rest(x, number)
    return x


def nothing(x: Any, add: float) -> Any:
    return x + add


def chain(step: Any, *, parameters: bool = True) -> Any:
    from workbench import Node, Pipeline

    def given(number: int) -> dict[str, Any]:
        return {"add": number} if parameters else {}

    return Pipeline(
        [
            Node(
                step,
                f"s{number - 1}" if number else "__pipeline_input__",
                f"s{number}",
                name=f"step{number}",
                parameters=given(number),
            )
            for number in range(STEPS)
        ],
        "chain",
    )


def pyiron(folder: Path) -> Callable[[Any], Any]:
    """Return a function that runs the same ten steps as jobs of pyiron_base, one waiting for the other."""
    import os

    os.chdir(folder)  # its log begins where it is imported
    from pyiron_base import Project, job

    delayed = job(rest)
    made = iter(range(10**6))

    def run(x: Any) -> Any:
        project = Project(f"pyiron{next(made)}")
        for number in range(STEPS):
            x = delayed(x=x, add=number, pyiron_project=project)
        with contextlib.redirect_stdout(io.StringIO()):  # it tells of every job
            return x.pull()

    return run


def main(rounds: int = 5) -> None:
    import workbench

    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        ws = stack.enter_context(workbench.open(folder / "ws"))
        body = write_algorithm(folder / "rest", "rest", generic(RESTING), type="Generic")
        ws.algorithms.deploy(body, check=False)
        functions, algorithms = chain(rest), chain("rest", parameters=False)
        quick = chain(nothing)
        fresh = iter(range(1, 10**9))
        array = np.zeros((64, 64))

        def on_top(run: Callable[[Any], Any], value: Any) -> Callable[[], dict[str, float]]:
            def one() -> dict[str, float]:
                given = value + 1000 * next(fresh)  # nothing is reused, of one step or another
                alone = seconds(lambda: loop(given))
                before = time.process_time()
                whole = seconds(lambda: run(given))
                worked = time.process_time() - before  # what other work on the machine does not lengthen
                return {"on top per step": (whole - alone) / STEPS, "processor time per step": worked / STEPS}

            return one

        contest = Contest(
            f"ten steps of {STEP_S * 1e3:.0f} ms in the kernel", limit="workbench, functions on numbers"
        )
        contest.add("workbench, functions on numbers", on_top(functions.run, 1.0))
        contest.add("workbench, functions on arrays (each kept)", on_top(functions.run, array))
        contest.add("workbench, algorithms on arrays", on_top(algorithms.run, array))
        with contest.peer("pyiron_base, delayed functions"):
            contest.add("pyiron_base, delayed functions", on_top(pyiron(folder), 1.0))
        for who in ("functions on numbers", "functions on arrays (each kept)", "algorithms on arrays"):
            contest.target(f"workbench, {who}", "on top per step", seconds=0.002)
        contest.run(rounds)

        again = Contest("the same ten steps once more, nothing is stale", limit="the loop")
        again.add("the loop", lambda: {"all": seconds(lambda: loop(0.5))})
        functions.run(0.5)
        again.add("workbench", lambda: {"all": seconds(lambda: functions.run(0.5))})
        again.run(rounds)
        begin = time.perf_counter()
        for number in range(20):
            quick.run(number + 0.5)
        print(f"  200 steps that do nothing: {(time.perf_counter() - begin) / 200 * 1e3:.2f} ms each")


if __name__ == "__main__":
    main()
