"""Replay: a run computed again gives the same bits, or says where and perhaps why not."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from algorithm_folders import INVERT, generic, write_algorithm

import workbench
from workbench.errors import InvalidInputError, NotFoundError, UnsupportedError
from workbench.execution.replay import package_differences
from workbench.execution.sameness import match_values

DRAWS = generic("""
    import random
    import numpy as np
    return [np.random.rand(4) + random.random()]
""")
LOADS = DRAWS.replace(
    "    def preprocess",
    "    def load_assets(self):\n            import numpy as np\n            self.weights = np.random.rand(4)\n\n        def preprocess",
).replace("np.random.rand(4) +", "self.weights +")
CHANCE = generic(
    "import os\nimport numpy as np\nreturn [np.array([1.0, 2.0, 3.0]) + os.urandom(1)[0] * 1e-9 + 1e-9]"
)


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[workbench.Workspace]:
    with workbench.open(tmp_path / "ws") as workspace:
        yield workspace


def deploy(ws: workbench.Workspace, tmp_path: Path, name: str, code: str):
    return ws.algorithms.deploy(write_algorithm(tmp_path / name, name, code, type="Generic"), check=False)


def test_random_numbers_are_drawn_again(ws, tmp_path: Path) -> None:
    alg = deploy(ws, tmp_path, "draws", DRAWS)
    first, second = alg(), alg()
    assert not np.array_equal(first.result(), second.result())
    again = first.replay()
    assert again.is_identical
    assert again.run.record.replays == first.id
    assert again.run.record.seed == first.record.seed
    assert {"random", "numpy"} <= set(first.record.seeded)
    assert ws.runs.replay(again.run.id).is_identical
    assert "identical" in repr(again)
    assert "identical" in again._repr_html_()


def test_what_is_drawn_while_loading_is_the_same_in_every_process(ws, tmp_path: Path) -> None:
    first = deploy(ws, tmp_path, "loads", LOADS)()
    assert first.replay(executor="process").is_identical


def test_the_random_state_of_the_cells_goes_on_as_if_nothing_had_run(ws, tmp_path: Path) -> None:
    alg = deploy(ws, tmp_path, "draws", DRAWS)
    random.seed(3)
    np.random.seed(3)
    expected = random.random(), random.random(), *np.random.randn(2)
    random.seed(3)
    np.random.seed(3)
    drawn = [random.random(), np.random.randn()]
    alg()
    alg()
    drawn += [random.random(), np.random.randn()]
    assert [drawn[0], drawn[2], drawn[1], drawn[3]] == list(expected)


def test_torch_begins_from_the_seed_too(ws, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    alg = deploy(ws, tmp_path, "tensors", generic("import torch\nreturn [torch.rand(3).numpy()]"))
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    assert torch.rand(1) == expected[0]
    first = alg()
    assert torch.rand(1) == expected[1]
    assert first.replay().is_identical


def test_a_run_in_another_thread_leaves_the_state_alone_and_says_so(ws, tmp_path: Path) -> None:
    alg = deploy(ws, tmp_path, "draws", DRAWS)
    first = ws.run(alg, wait=False).wait(30)
    assert first.record.seeded == ()
    again = first.replay()
    assert again.verdict == "different"
    assert "random numbers of the first run are not known" in repr(again)


def test_a_difference_is_told_with_its_place_or_is_within_the_tolerance(ws, tmp_path: Path) -> None:
    first = deploy(ws, tmp_path, "chance", CHANCE)()
    ws.settings
    again = first.replay()
    while again.is_identical:
        again = first.replay()
    assert again.verdict == "different"
    assert "first at [0]" in repr(again)
    close = first.replay(atol=1e-6)
    assert close.is_same


def test_what_cannot_be_replayed_is_refused_with_its_reason(ws, tmp_path: Path) -> None:
    folder = write_algorithm(tmp_path / "invert", code=INVERT)
    alg = ws.algorithms.deploy(folder, check=False)
    data = ws.datasets.put({"image": np.ones((4, 4), np.float32)})
    run = ws.run(alg, data)
    with pytest.raises(InvalidInputError, match="rtol"):
        run.replay(rtol=-1)
    ws.datasets.delete(data.id, force=True)
    with pytest.raises(NotFoundError, match=f"its input {data.id} was deleted"):
        run.replay()
    run = ws.run(alg, np.ones((4, 4), np.float32))
    ws.algorithms.delete(alg.id, force=True)
    with pytest.raises(NotFoundError, match="was deleted since"):
        run.replay()
    run = ws.run(folder, np.ones((4, 4), np.float32))
    assert run.replay().is_identical
    (folder / "Runner.py").write_text((folder / "Runner.py").read_text() + "\n\nX = 1\n")
    with pytest.raises(UnsupportedError, match="has changed since"):
        run.replay()
    bad = deploy(ws, tmp_path, "bad", generic("raise ValueError('no')"))()
    with pytest.raises(InvalidInputError, match="FAILED"):
        bad.replay()
    inside = ws.run(deploy(ws, tmp_path, "draws", DRAWS), session="s")
    with pytest.raises(UnsupportedError, match="session 's'"):
        inside.replay()
    assert inside.replay(session="s").is_identical


def test_of_a_reused_run_the_one_that_computed_is_replayed(ws, tmp_path: Path) -> None:
    alg = deploy(ws, tmp_path, "draws", DRAWS)
    first = alg()
    reused = ws.run(alg, reuse="auto")
    again = reused.replay()
    assert again.original.id == first.id
    assert again.is_identical


def test_another_environment_is_named_when_outputs_differ(ws, tmp_path: Path) -> None:
    first = deploy(ws, tmp_path, "chance", CHANCE)()
    facts = ws.runs.environment_of(first.record)
    facts["packages"] = {**facts["packages"], "numpy": "0.1"}
    ws.store.put("environments", "other.json", json.dumps({**facts, "digest": "other"}))
    record = first.record.model_copy(update={"environment": {**first.record.environment, "digest": "other"}})
    ws.runs.save(record)
    again = ws.runs.replay(first.id)
    while again.is_identical:
        again = ws.runs.replay(first.id)
    assert f"numpy 0.1 -> {np.__version__}" in repr(again)
    assert package_differences({"packages": {"a": "1"}}, {"packages": {"b": "2"}}) == [
        "a 1 -> not there",
        "b not there -> 2",
    ]


@pytest.mark.parametrize(
    ("old", "new", "verdict", "text"),
    [
        (np.array([1.0, np.nan]), np.array([1.0, np.nan]), "identical", ""),
        (np.array([0.0]), np.array([-0.0]), "within tolerance", "at most 0"),
        (np.array([1.0]), np.array([1.1]), "within tolerance", "at most 0.1"),
        (np.array([1.0, 2.0]), np.array([1.0, np.nan]), "different", r"first at \[1\]"),
        (np.zeros((2, 3)), np.zeros((3, 2)), "different", r"\(2, 3\) float64 -> \(3, 2\)"),
        (np.zeros(2, np.uint8), np.array([0, 200], np.uint8), "different", "0 -> 200"),
        (np.array([1 + 2j]), np.array([1 + 2.05j]), "within tolerance", "0.05"),
        (np.array([True, False]), np.array([True, True]), "different", r"first at \[1\]: False -> True"),
        ("one", "two", "different", "'one' -> 'two'"),
        (3, 3, "identical", ""),
    ],
)
def test_values_are_compared(old, new, verdict: str, text: str) -> None:
    import re

    match = match_values(old, new, atol=0.2)
    assert match.verdict == verdict
    assert re.search(text, match.text)


def test_two_runs_at_once_do_not_claim_their_random_numbers(ws, tmp_path: Path) -> None:
    code = generic("import time\ntime.sleep(0.5)\nimport numpy as np\nreturn [np.random.rand(2)]")
    alg = deploy(ws, tmp_path, "slow", code)
    found = []
    thread = threading.Thread(target=lambda: found.append(alg()))
    thread.start()
    found.append(alg())
    thread.join()
    assert [run.record.seeded for run in found] == [(), ()]


def test_the_command_replays_in_a_fresh_process(ws, tmp_path: Path) -> None:
    first = deploy(ws, tmp_path, "draws", DRAWS)()
    command = [sys.executable, "-m", "workbench", "-w", str(tmp_path / "ws"), "replay", first.id]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "identical" in done.stdout
