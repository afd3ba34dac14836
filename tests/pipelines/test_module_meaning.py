"""A function counts with the modules that it needs, as long as they are not installed."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import timeit
from pathlib import Path

import numpy as np
import pytest

import workbench
from workbench import Node, Pipeline
from workbench.pipelines.meaning import meaning, packages_of

HELPER = "def g(x):\n    return x + {}\n"
NODES = """
import sys
import numpy as np
import workbench
from workbench import Node, Pipeline
import myhelp
from myhelp import g
import bundled.outer

def by_module(x):
    return myhelp.g(x)

def by_name(x):
    return g(x)

def inside(x):
    from myhelp import g as late
    return late(x)

def deeper(x):
    return bundled.outer.h(x)

nodes = (by_module, by_name, inside, deeper)
if __name__ == "__main__":
    workbench.open(sys.argv[1])
    pipe = Pipeline([Node(f, "x", f.__name__ + "-out") for f in nodes], "p", inputs=["x"])
    run = pipe.run(np.arange(3.0), executor=sys.argv[2])
    print([node.reused for node in run.nodes], [float(v[0]) for v in run.result().values()])
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of somebody's own modules, which can be imported here and in children."""
    write(tmp_path, 1)
    (tmp_path / "bundled").mkdir()
    (tmp_path / "bundled" / "__init__.py").write_text("")
    (tmp_path / "bundled" / "outer.py").write_text("from . import inner\ndef h(x):\n    return inner.k(x)\n")
    (tmp_path / "bundled" / "inner.py").write_text("import myhelp\ndef k(x):\n    return myhelp.g(x)\n")
    (tmp_path / "nodes.py").write_text(NODES)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in ("nodes", "myhelp", "bundled", "bundled.outer", "bundled.inner"):
        sys.modules.pop(name, None)


def write(folder: Path, value: object, more: str = "") -> None:
    """Write the helper; each time it looks newer, for clocks of file systems are coarse."""
    path = folder / "myhelp.py"
    before = path.stat().st_mtime_ns if path.exists() else 10**18
    path.write_text(more + HELPER.format(value))
    os.utime(path, ns=(before + 10**9, before + 10**9))


def in_a_process(folder: Path, executor: str = "kernel") -> str:
    command = [sys.executable, "nodes.py", str(folder / "ws"), executor]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def test_a_worker_imports_anew_what_was_edited(folder: Path) -> None:
    space: dict = {"__name__": "notebook"}
    exec("def f(x):\n    import myhelp, os\n    return [myhelp.g(x), os.getpid()]", space)
    pids = set()
    with workbench.open(folder / "ws", workers=1) as ws:
        for value in (1, 2):
            write(folder, value)
            run = ws.run(Pipeline([Node(space["f"], "x")], "late", inputs=["x"]), 0, executor="process")
            assert run.result()[0] == value
            pids.add(run.result()[1])
    assert len(pids) == 1  # so it was the same worker


@pytest.mark.parametrize("executor", ["kernel", "process"])
def test_an_edited_helper_makes_all_nodes_stale_that_need_it(folder: Path, executor: str) -> None:
    assert in_a_process(folder, executor) == "[False, False, False, False] [1.0, 1.0, 1.0, 1.0]"
    assert in_a_process(folder, executor) == "[True, True, True, True] [1.0, 1.0, 1.0, 1.0]"
    write(folder, 1, more="# a comment\n\n")
    assert in_a_process(folder, executor) == "[True, True, True, True] [1.0, 1.0, 1.0, 1.0]"
    write(folder, 1000)
    assert in_a_process(folder, executor) == "[False, False, False, False] [1000.0, 1000.0, 1000.0, 1000.0]"


def digests(nodes) -> list[str]:
    found = [meaning(f) for f in nodes.nodes]
    assert not any(unknown for _, unknown in found)
    return [digest for digest, _ in found]


def test_a_module_that_was_loaded_before_the_edit_is_not_taken_for_its_file(folder: Path) -> None:
    nodes = importlib.import_module("nodes")
    first = digests(nodes)
    write(folder, 1000)
    edited = digests(nodes)  # what is loaded computes as before
    importlib.reload(sys.modules["myhelp"])
    importlib.reload(nodes)
    new = digests(nodes)
    for before, between, after in zip(first, edited, new, strict=True):
        assert before != after
        assert between != after
    write(folder, "K", more="K = 5\n")
    importlib.reload(sys.modules["myhelp"])
    constant = digests(nodes)[0]
    write(folder, "K", more="K = 6\n")
    edited = digests(nodes)[0]
    importlib.reload(sys.modules["myhelp"])
    assert len({constant, edited, digests(nodes)[0]}) == 3


def test_what_a_function_imports_counts_the_same_before_and_after(folder: Path) -> None:
    space: dict = {"__name__": "notebook"}
    exec("def f(x):\n    import bundled.outer\n    return bundled.outer.h(x)", space)
    before = meaning(space["f"])
    assert space["f"](1) == 2
    assert meaning(space["f"]) == before != ("", "")
    write(folder, 7)
    for name in ("myhelp", "bundled.inner", "bundled.outer", "bundled"):
        sys.modules.pop(name, None)
    assert meaning(space["f"])[0] != before[0]


def test_cached_helpers_count(folder: Path) -> None:
    found = []
    for value in (1, 2):
        space: dict = {"__name__": "notebook"}
        exec(
            f"import functools\n@functools.cache\ndef g(x):\n    return x + {value}\ndef f(x):\n    return g(x)",
            space,
        )
        found.append(meaning(space["f"])[0])
    assert all(found)
    assert found[0] != found[1]


def test_a_module_that_is_gone_makes_its_readers_unknown(folder: Path) -> None:
    nodes = importlib.import_module("nodes")
    (folder / "myhelp.py").unlink()
    found, unknown = meaning(nodes.by_module)
    assert found == ""
    assert "myhelp.py" in unknown


def test_installed_modules_count_by_name_and_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def norm(x):
        return np.linalg.norm(x) + os.cpu_count()

    before = meaning(norm)[0]
    assert packages_of(norm) <= {__name__.partition(".")[0]}
    monkeypatch.setattr(np, "__version__", "99.0")
    assert meaning(norm)[0] != before
    assert workbench.__name__ not in packages_of(norm)


def test_what_names_installed_modules_only_takes_microseconds() -> None:
    def norm(x):
        return np.linalg.norm(x)

    meaning(norm)
    assert min(timeit.repeat(lambda: meaning(norm), number=200, repeat=5)) / 200 < 200e-6
