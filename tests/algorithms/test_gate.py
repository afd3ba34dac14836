"""The deploy gate: every test starts a real clean process."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import textwrap
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from algorithm_folders import INVERT, write_algorithm

from workbench.algorithms.folder import read_folder
from workbench.algorithms.gate import GateReport, check
from workbench.models import AlgorithmType

DECLARED = """
    import numpy as np
    from pydantic import BaseModel, Field
    from workbench.runners import Image2ImageRunner
    from helper import scale

    print("hello from the import")

    class Runner(Image2ImageRunner):
        class Parameters(BaseModel):
            sigma: float = Field(1.0, ge=0, description="Width", json_schema_extra={"unit": "px"})

        def inference(self, data, args={}):
            return scale(data)
"""


def gate(folder: Path, timeout_s: float = 60.0) -> GateReport:
    read = read_folder(folder)
    return check(read.package, read.package_digest, read.manifest, read.contents.assets, timeout_s=timeout_s)


def failing(folder: Path, code: str, **more: float) -> str:
    report = gate(write_algorithm(folder, code=code), **more)
    assert not report.verdict.ok
    [problem] = report.verdict.problems
    return problem


def test_good_algorithm_passes_and_its_facts_are_found(tmp_path: Path) -> None:
    write_algorithm(
        tmp_path, code=DECLARED, type="Undefined", files={"helper.py": "def scale(x):\n    return x\n"}
    )
    report = gate(tmp_path)
    assert report.verdict.ok, report.verdict.problems
    assert report.type is AlgorithmType.IMAGE2IMAGE
    assert report.parameters is not None
    assert [(s.name, s.type, s.unit, s.min) for s in report.parameters] == [("sigma", "float", "px", 0.0)]
    assert report.verdict.warnings == ("The import prints: hello from the import",)
    assert report.verdict.python == sys.version.split()[0]
    assert not (tmp_path / "__pycache__").exists()


def test_parameters_declared_twice_and_a_contradicting_type_are_found(tmp_path: Path) -> None:
    extra = (
        '[[tool.workbench.parameters]]\nname = "sigma"\ntype = "float"\ndescription = "d"\ndefault = 1.0\n'
    )
    code = DECLARED.replace("from helper import scale", "scale = abs")
    report = gate(write_algorithm(tmp_path, code=code, type="Image2Segmentation", extra=extra))
    assert ["declared twice" in p for p in report.verdict.problems] == [True]
    assert any("derives from Image2ImageRunner" in w for w in report.verdict.warnings)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import torhc_missing\nclass Runner: pass", "pip install torhc_missing"),
        (
            "value = {}['gone']\nclass Runner: pass",
            "Runner.py:1 (value = {}['gone']) fails at import: KeyError: 'gone'",
        ),
        ("class Runner: pass", "expected BaseRunner"),
        (INVERT.replace("def inference", "def inferenz"), "has no inference"),
        (INVERT + "\n    import os, signal\n    os.kill(os.getpid(), signal.SIGSEGV)\n", "SIGSEGV"),
        (INVERT + "\n    import os\n    os._exit(3)\n", "exit code 3"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, code: str, said: str) -> None:
    assert said in failing(tmp_path, code)


def test_endless_import_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    note = tmp_path / "child.pid"
    code = (
        INVERT + "\n    import subprocess, time\n    child = subprocess.Popen(['sleep', '600'])\n"
        f"    open({str(note)!r}, 'w').write(str(child.pid))\n    print('working on it', flush=True)\n    time.sleep(600)\n"
    )
    begin = time.monotonic()
    problem = failing(tmp_path / "alg", code, timeout_s=6)
    assert time.monotonic() - begin < 30
    assert "did not end within 6 s" in problem
    assert "working on it" in problem
    for _ in range(100):
        try:
            os.kill(int(note.read_text()), 0)
        except ProcessLookupError:
            break
        if (
            "Z"
            in subprocess.run(["ps", "-o", "stat=", note.read_text()], capture_output=True, text=True).stdout
        ):
            break
        time.sleep(0.05)
    else:
        pytest.fail("what the import had started still runs")


def test_import_has_no_part_in_the_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / "notebooks"
    here.mkdir()
    (here / "neighbour.py").write_text("x = 1")
    monkeypatch.chdir(here)
    monkeypatch.syspath_prepend("")
    assert "'neighbour'" in failing(tmp_path / "a", "import neighbour\n" + textwrap.dedent(INVERT))
    code = "open('left-behind', 'w').write('x')\ninput()\n" + textwrap.dedent(INVERT)
    assert "EOFError" in failing(tmp_path / "b", code)
    assert sorted(p.name for p in here.iterdir()) == ["neighbour.py"]


class Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("echo pwned > /tmp/should-not-exist",)


def test_dangerous_pickles_are_refused_and_never_loaded(tmp_path: Path) -> None:
    write_algorithm(
        tmp_path, files={"m/evil.pkl": pickle.dumps(Evil()), "good.pkl": pickle.dumps({"a": [1, 2]})}
    )
    np.save(tmp_path / "plain.npy", np.zeros(3))
    np.save(tmp_path / "objects.npy", np.array([Evil()], dtype=object), allow_pickle=True)
    (tmp_path / "packed.joblib").write_bytes(zlib.compress(pickle.dumps(Evil())))
    report = gate(tmp_path)
    named = sorted(p.split("'")[1] for p in report.verdict.problems)
    assert named == ["m/evil.pkl", "objects.npy"]
    assert all("system" in p for p in report.verdict.problems)
    assert any("packed.joblib" in w for w in report.verdict.warnings)
    assert not Path("/tmp/should-not-exist").exists()
