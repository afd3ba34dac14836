"""What modules hold counts where it is not what their files say: tables that were edited, or changed in the notebook."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import timeit
from pathlib import Path

import numpy as np
import pytest

from workbench import Node, Pipeline
from workbench.pipelines.data_text import data_text
from workbench.pipelines.meaning import meaning

CONFIG = """
from dataclasses import dataclass, field
import threading
import numpy as np

@dataclass
class Settings:
    sigma: float = 1.0
    weights: list = field(default_factory=lambda: [1, 2])

class Plain:
    limit = 3
    def __init__(self):
        self.low = 0

TABLE = {"a": [1, 2], "b": {"c": (3, 4)}}
NAMES = ["x", "y"]
ONES = {1, 2, 3}
KERNEL = np.array([1.0, 2.0])
SETTINGS = Settings()
PLAIN = Plain()
LOCK = threading.Lock()

class Unbound:
    def __getattribute__(self, name):
        raise RuntimeError("nobody is here")

STAND_IN = Unbound()
BIG = np.zeros(1 << 20)
CACHE = {}
"""
HELPER = """
import heldconfig
CALLS = 0

def table(x):
    return heldconfig.TABLE["a"][0] + len(heldconfig.NAMES) + sum(heldconfig.ONES) + heldconfig.BIG[0]

def objects(x):
    with heldconfig.LOCK if x else heldconfig.STAND_IN:
        return heldconfig.SETTINGS.sigma + heldconfig.KERNEL.sum() + heldconfig.PLAIN.low + heldconfig.Plain.limit

def remembers(x):
    global CALLS
    CALLS += 1
    heldmemory[x] = x
    return heldmemory[x]

heldmemory = {}

class Tracker:
    total = 0
    def __init__(self):
        self.calls, self.sigma = 0, 1.0
    def count(self):
        self.calls += 1
        Tracker.total += 1
    def set_sigma(self, value):
        self.sigma = value
    def reset(self):
        self.set_sigma(1.0)

tracker = Tracker()

def tracked(x):
    tracker.count()
    return tracker.sigma

def untracked(x):
    return tracker.sigma

def set_memory(x):
    heldmemory.update(x)

def reads_memory(x):
    return heldmemory
"""
NODES = """
import heldhelper

def by_module(x):
    return heldhelper.table(x) + heldhelper.objects(x)

def remembering(x):
    return heldhelper.remembers(x)

def reading(x):
    return heldhelper.reads_memory(x)

def tracked(x):
    return heldhelper.tracked(x)

def untracked(x):
    return heldhelper.untracked(x)

def late(x):
    import heldhelper
    return heldhelper.table(x)
"""
MODULES = ("heldconfig", "heldhelper", "heldnodes")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A folder of somebody's own modules."""
    for name, source in zip(MODULES, (CONFIG, HELPER, NODES), strict=True):
        (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    forget()


def forget() -> None:
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.fixture
def nodes(folder):
    return importlib.import_module("heldnodes")


def changed_table(config):
    config.TABLE["b"]["c"] = (3, 5)


def changed_list(config):
    config.NAMES.append("z")


def changed_set(config):
    config.ONES.discard(3)


def changed_array(config):
    config.KERNEL[0] = 9


def changed_dataclass(config):
    config.SETTINGS.sigma = 2.0


def changed_list_in_a_dataclass(config):
    config.SETTINGS.weights.append(3)


def changed_object(config):
    config.PLAIN.low = 1


def changed_class(config):
    config.Plain.limit = 4


def one_that_is_true(config):
    config.TABLE["a"][0] = True


CHANGES = [
    changed_table,
    changed_list,
    changed_set,
    changed_array,
    changed_dataclass,
    changed_list_in_a_dataclass,
    changed_object,
    changed_class,
    one_that_is_true,
]


@pytest.mark.parametrize("change", CHANGES)
def test_what_a_notebook_changes_in_a_module_counts(nodes, change):
    first, unknown = meaning(nodes.by_module)
    assert first, unknown
    assert meaning(nodes.by_module)[0] == first
    change(sys.modules["heldconfig"])
    assert meaning(nodes.by_module)[0] not in ("", first)


def test_a_new_process_that_has_the_same_means_the_same(nodes):
    first = meaning(nodes.by_module)
    forget()
    assert meaning(importlib.import_module("heldnodes").by_module) == first


@pytest.mark.parametrize("name", ["by_module", "late"])
def test_an_edited_table_that_was_not_loaded_again_is_not_taken_for_the_new_one(folder, nodes, name):
    sys.modules["heldhelper"].table(0)
    before = meaning(getattr(nodes, name))[0]
    path = folder / "heldconfig.py"
    path.write_text(path.read_text().replace('"a": [1, 2]', '"a": [7, 2]'))
    os.utime(path, ns=(2 * 10**18, 2 * 10**18))
    between = meaning(getattr(nodes, name))[0]
    forget()
    after = meaning(getattr(importlib.import_module("heldnodes"), name))[0]
    assert len({before, between, after} - {""}) == 3


@pytest.mark.parametrize("is_loaded", [False, True])
def test_a_table_that_is_changed_counts_also_for_what_is_imported_when_it_runs(nodes, is_loaded):
    first = meaning(nodes.late)[0]
    if not is_loaded:
        forget()
        assert meaning(nodes.late)[0] == first
        return
    changed_table(sys.modules["heldconfig"])
    assert meaning(nodes.late)[0] not in ("", first)


def test_what_a_function_remembers_itself_does_not_count(nodes):
    first = meaning(nodes.remembering)[0]
    assert nodes.remembering(3) == 3
    assert meaning(nodes.remembering)[0] == first
    reading = meaning(nodes.reading)[0]
    sys.modules["heldhelper"].set_memory({"sigma": 2})  # by the notebook, not by the node
    assert meaning(nodes.reading)[0] not in ("", reading)


def test_an_object_that_changes_itself_when_it_is_used_does_not_count(nodes):
    first, other = meaning(nodes.tracked)[0], meaning(nodes.untracked)[0]
    nodes.tracked(1)
    assert meaning(nodes.tracked)[0] == first
    changed = meaning(nodes.untracked)[0]
    assert changed != other  # nothing that it calls has done that
    sys.modules["heldhelper"].tracker.set_sigma(2.0)
    assert meaning(nodes.untracked)[0] not in ("", other, changed)


def test_a_node_is_computed_again_with_the_table_as_it_is(ws, nodes):
    pipe = Pipeline([Node(nodes.by_module, "x", "y")], "held", inputs=["x"])
    first = pipe.run(1.0)
    assert pipe.run(1.0).nodes[0].reused
    sys.modules["heldconfig"].TABLE["a"][0] = 100
    again = pipe.run(1.0)
    assert again.result() == first.result() + 99
    assert again.replay().verdict == "identical"
    sys.modules["heldconfig"].TABLE["a"][0] = 1
    assert pipe.run(1.0).nodes[0].reused


def test_a_replay_elsewhere_says_that_the_data_of_a_module_were_others(ws, folder, nodes):
    run = Pipeline([Node(nodes.by_module, "x", "y")], "held", inputs=["x"]).run(1.0)
    sys.modules["heldconfig"].TABLE["a"][0] = 100
    changed = Pipeline([Node(nodes.by_module, "x", "y")], "held", inputs=["x"]).run(1.0)
    code = """
import sys, workbench
with workbench.open(sys.argv[1]) as ws:
    for replay in ws.runs.get(sys.argv[2]).replay(), *(ws.runs.get(id).node("by_module").replay() for id in sys.argv[2:]):
        print(replay.verdict, [note for note in replay.notes if "Modules" in note])
"""
    command = [sys.executable, "-c", code, ws.url, changed.id, run.id]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    told = "Modules hold other data than when it ran, which is kept nowhere: heldconfig.TABLE."
    assert done.returncode == 0, done.stderr
    first, second, third = done.stdout.splitlines()
    assert first.startswith("different")
    assert "first seen at node 'by_module'." in first
    assert told in first
    assert second == f"different ['{told}']"
    assert third == "identical []"


def test_what_is_no_data_or_large_has_no_text():
    assert data_text([open]) == data_text([open])
    assert data_text([sys.stdout]) is None
    assert data_text(np.zeros(1 << 18)) is None
    assert data_text(list(range(20_000))) is None
    assert data_text({"b", "a", "c"}) == data_text({"c", "b", "a"})
    endless: list = []
    endless.append(endless)
    assert data_text(endless) is None


def test_a_long_chain_of_functions_is_followed_to_its_end(folder):
    lines = ["T = [0]", *(f"def f{i}(x):\n    return f{i + 1}(x)" for i in range(2000))]
    (folder / "heldhelper.py").write_text("\n".join([*lines, "def f2000(x):\n    return T[0] + x"]))
    helper = importlib.import_module("heldhelper")
    space: dict = {"__name__": "notebook", "helper": helper}
    exec("def f(x):\n    return helper.f0(x)", space)
    first = meaning(space["f"])[0]
    helper.T[0] = 1
    assert meaning(space["f"])[0] not in ("", first)


def test_following_what_modules_hold_takes_microseconds(nodes):
    meaning(nodes.by_module)
    assert min(timeit.repeat(lambda: meaning(nodes.by_module), number=50, repeat=5)) / 50 < 1e-3
