# the signatures that algorithms have
from __future__ import annotations

import bdb
import builtins
import contextlib
import importlib
import inspect
import io
import linecache
import pdb
import pickle
import subprocess
import sys
import textwrap
import threading
import traceback
import types
import typing
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dict_context import DictContext, run

from workbench.algorithms import loader
from workbench.algorithms.loader import FolderSource, PackageSource, load_runner_class
from workbench.algorithms.package import build_zip, digest
from workbench.errors import DamagedError, InvalidAlgorithmError, MissingPackageError
from workbench.runners import BaseRunner, for_run, load

FOLDERS = Path(__file__).parents[1] / "data" / "compox_folders"

BASE = """
from workbench.runners import BaseRunner

class Runner(BaseRunner):
    def preprocess(self, input_data, args={}):
        return input_data

    def inference(self, data, args={}):
        return [str(answer())]

    def postprocess(self, data, args={}):
        return data
"""


def package(files: dict[str, str], label: str = "demo@1.0") -> PackageSource:
    data = build_zip({path: textwrap.dedent(text).encode() for path, text in files.items()})
    return PackageSource(data, digest(data), label)


def folder(path: Path, files: dict[str, str], content: str) -> FolderSource:
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(textwrap.dedent(text))
    return FolderSource(path, content)


def answer(files: dict[str, str], **options: Any) -> str:
    """Load a package and return what its inference gives."""
    outputs, _ = run(load_runner_class(package(files), **options))
    return outputs[0]


@pytest.fixture(autouse=True)
def nothing_leaks():
    """No plain name in sys.modules, no change of sys.path and of builtins."""
    before, path, import_ = set(sys.modules), list(sys.path), builtins.__import__
    yield
    new = {name for name in set(sys.modules) - before if not name.startswith("workbench_algorithm_")}
    assert not new & {
        "helper",
        "pkg",
        "utils",
        "Runner",
        "sub",
        "compox",
        "algorithm_utils",
        "tasks",
        "other",
    }
    assert sys.path == path
    assert builtins.__import__ is import_


# -- every form of import -----------------------------------------------------------------------------------------------------

HELPER = {
    "helper.py": "VALUE = 41\ndef f():\n    return VALUE + 1\n",
    "pkg/__init__.py": "",
    "pkg/m.py": "def f():\n    return 42\n",
    "pkg/n.py": "from .m import f as g\n",
    "pkg/deep/__init__.py": "",
    "pkg/deep/up.py": "from ..m import f\nfrom ... import helper\nassert helper.VALUE == 41\n",
    "space/inner.py": "def f():\n    return 42\n",
}


FORMS = [
    ("import helper", "helper.f()"),
    ("import helper as h", "h.f()"),
    ("from helper import f", "f()"),
    ("from helper import *", "f()"),
    ("import pkg.m", "pkg.m.f()"),
    ("import pkg.m as s", "s.f()"),
    ("import pkg.deep.up, pkg.n", "pkg.deep.up.f() and pkg.n.g()"),
    ("from pkg import m", "m.f()"),
    ("from pkg import deep, m, n", "n.g()"),
    ("from pkg.n import g", "g()"),
    ("from pkg.deep.up import f", "f()"),
    ("from .helper import f", "f()"),
    ("from . import helper", "helper.f()"),
    ("from .pkg import m", "m.f()"),
    ("from .pkg.deep import up as u", "u.f()"),
    ("import space.inner", "space.inner.f()"),
    ("from space.inner import f", "f()"),
    ("from importlib import import_module", "import_module('helper').f()"),
    ("import importlib", "importlib.import_module('pkg.m').f()"),
    ("import importlib", "importlib.import_module('.m', 'pkg' and __package__ + '.pkg').f()"),
    ("import importlib.util as u", "u.find_spec('json') and 42"),
    ("h = __import__('helper')", "h.f()"),
    ("m = __import__('pkg.m', fromlist=['f'])", "m.f()"),
    ("import os.path, xml.dom.minidom as d, numpy as np", "int(np.int64(42)) and d and os.path and 42"),
]
PLACES = {
    "module": "{imports}\ndef answer():\n    return {call}\n",
    "method": "def answer():\n    {imports}\n    return {call}\n",
    "thread": (
        "import threading\ndef answer():\n    found = []\n    def work():\n        {imports}\n"
        "        found.append({call})\n    t = threading.Thread(target=work)\n    t.start(); t.join()\n"
        "    return found[0]\n"
    ),
}


@pytest.mark.parametrize(
    ("place", "imports", "call"),
    [(place, *form) for place in PLACES for form in FORMS if place == "module" or "*" not in form[0]],
)
def test_every_form_of_import_finds_the_local_module(place, imports, call):
    text = PLACES[place].format(imports=imports, call=call)
    assert answer({"Runner.py": text + BASE, **HELPER}) == "42"


def test_circular_imports_between_local_modules():
    files = {
        "a.py": "import b\ndef f():\n    return b.g()\nONE = 1\n",
        "b.py": "import a\ndef g():\n    return a.ONE\n",
        "Runner.py": "from a import f as answer\n" + BASE,
    }
    assert answer(files) == "1"


def test_type_checking_future_and_main_blocks():
    files = {
        "Runner.py": "from __future__ import annotations\nfrom typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import not_there\ndef answer() -> not_there.X:\n    return __name__ != '__main__'\n"
        + BASE
        + "if __name__ == '__main__':\n    raise SystemExit('ran')\n"
    }
    assert answer(files) == "True"


@pytest.mark.parametrize("name", ["utils", "types", "io", "json", "numpy", "logging", "test"])
def test_local_module_wins_over_an_installed_one_but_only_inside(name):
    outside = sys.modules.get(name)
    files = {
        f"{name}.py": "HERE = 'local'\n",
        "Runner.py": f"import {name} as m\ndef answer(): return m.HERE\n" + BASE,
    }
    assert answer(files) == "local"
    assert sys.modules.get(name) is outside
    assert not hasattr(importlib.import_module("json"), "HERE")


def test_local_module_that_wraps_the_one_it_shadows():
    files = {
        "types.py": "from types import SimpleNamespace\nimport types\nONE = SimpleNamespace(value=7)\n",
        "Runner.py": "from types import ONE\ndef answer(): return ONE.value\n" + BASE,
    }
    assert answer(files) == "7"


def test_python_itself_is_not_confused_by_local_names():
    files = {
        "_strptime.py": "raise RuntimeError('imported')\n",
        "copyreg.py": "raise RuntimeError('imported')\n",
        "Runner.py": "import datetime, pickle\n"
        "def answer():\n    pickle.loads(pickle.dumps({1: datetime.date(2020, 1, 1)}, 0))\n"
        "    return datetime.datetime.strptime('2020', '%Y').year\n" + BASE,
    }
    assert answer(files) == "2020"


def test_folder_with_assets_only_is_no_module(tmp_path):
    (tmp_path / "json").mkdir()
    (tmp_path / "json" / "table.txt").write_text("1")
    source = folder(tmp_path, {"Runner.py": "import json\ndef answer(): return json.dumps(1)\n" + BASE}, "c1")
    assert run(load_runner_class(source))[0] == ["1"]


def test_own_init_of_the_folder_is_run_when_something_asks_for_it():
    init = "from .Runner import Runner\nUNIT = 'px'\n"
    runner = "def answer():\n    from . import UNIT\n    return UNIT\n" + BASE
    assert answer({"__init__.py": init, "Runner.py": runner}) == "px"
    never = {"__init__.py": "from my_algorithm.Runner import Runner\n", "Runner.py": "answer = int\n" + BASE}
    assert answer(never) == "0"
    with pytest.raises(InvalidAlgorithmError, match=r"Runner\.py, line 1, does not find.*'NOPE'"):
        answer({"__init__.py": "X = 1\n", "Runner.py": "from . import NOPE\n" + BASE})


@pytest.mark.parametrize(
    "imports",
    [
        "from near import f",
        "from .near import f",
        "import near\nf = near.f",
        "from sub.near import f",
        "import sub.near\nf = sub.near.f",
        "from top import f",
        "from ..top import f",
    ],
)
def test_runner_at_another_place_finds_its_neighbours_and_the_top(imports):
    files = {
        "sub/my_runner.py": f"{imports}\nanswer = f\n" + BASE.replace("class Runner", "class Mine"),
        "sub/near.py": "from other import f\n",
        "sub/other.py": "def f(): return 42\n",
        "top.py": "from sub.other import f\n",
    }
    assert answer(files, runner="sub/my_runner.py", class_name="Mine") == "42"


def test_neighbour_is_one_module_under_both_of_its_names():
    files = {
        "sub/my_runner.py": "import near, sub.near\ndef answer(): return near is sub.near\n" + BASE,
        "sub/near.py": "",
    }
    assert answer(files, runner="sub/my_runner.py") == "True"


def test_one_package_with_two_runners():
    files = {
        "a/Runner.py": "from near import f as answer\n" + BASE,
        "a/near.py": "def f(): return 'a'\n",
        "b/Runner.py": "from near import f as answer\n" + BASE,
        "b/near.py": "def f(): return 'b'\n",
    }
    assert [answer(files, runner=f"{x}/Runner.py") for x in "ab"] == ["a", "b"]


# -- versions side by side ---------------------------------------------------------------------------------------------------------


def test_two_versions_live_side_by_side_and_are_loaded_once():
    sources = [
        package(
            {"Runner.py": "import utils\nanswer = utils.f\n" + BASE, "utils.py": f"def f(): return {n}\n"}
        )
        for n in (1, 2)
    ]
    one, two = (load_runner_class(s) for s in sources)
    assert [run(c)[0][0] for c in (one, two, one)] == ["1", "2", "1"]
    assert load_runner_class(sources[0]) is one
    assert one.__module__ != two.__module__


def test_edited_folder_is_loaded_again_under_its_new_digest(tmp_path):
    files = {"Runner.py": "from utils import f as answer\n" + BASE, "utils.py": "def f(): return 'old'\n"}
    old = load_runner_class(folder(tmp_path, files, "d1"))
    new = load_runner_class(folder(tmp_path, {"utils.py": "def f(): return 'new'\n"}, "d2"))
    assert [run(c)[0][0] for c in (old, new)] == ["old", "new"]


def test_folder_and_package_of_one_content_do_not_mix(tmp_path):
    files = {"Runner.py": "answer = int\n" + BASE}
    deployed = package(files)
    debugged = load_runner_class(folder(tmp_path, files, deployed.identity))
    assert debugged is not load_runner_class(deployed)
    assert inspect.getsourcefile(debugged) == str(tmp_path / "Runner.py")


def test_threads_that_load_one_version_at_once_get_one_class():
    slow = package(
        {"Runner.py": "import time, helper\ntime.sleep(0.05)\nanswer = int\n" + BASE, "helper.py": ""}
    )
    barrier = threading.Barrier(8)

    def load(_: int) -> type[BaseRunner]:
        barrier.wait()
        return load_runner_class(slow)

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(load, range(8)))) == 1


def test_threads_that_load_versions_of_one_name_keep_them_apart():
    def load(n: int) -> str:
        return answer(
            {"Runner.py": "from utils import f as answer\n" + BASE, "utils.py": f"def f(): return {n}\n"}
        )

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(load, range(100, 124))) == [str(n) for n in range(100, 124)]


# -- source, tracebacks, pickles ------------------------------------------------------------------------------------------------

FAILING = {
    "Runner.py": "from helper import fail as answer\n" + BASE,
    "helper.py": "def fail():\n    # the reason\n    raise RuntimeError('broken')\n",
}


def test_traceback_of_a_package_shows_its_source_lines():
    with pytest.raises(RuntimeError, match="broken") as caught:
        answer(FAILING)
    text = "".join(traceback.format_exception(caught.value))
    assert "    raise RuntimeError('broken')" in text
    assert '>/helper.py", line 3, in fail' in text
    assert "<demo@1.0 " in text
    linecache.checkcache()
    assert "raise RuntimeError('broken')" in "".join(traceback.format_exception(caught.value))


def test_traceback_of_a_failed_import_shows_its_source_lines():
    with pytest.raises(ZeroDivisionError) as caught:
        answer({"Runner.py": "import helper\n" + BASE, "helper.py": "\nONE = 1 / 0\n"})
    assert "    ONE = 1 / 0" in "".join(traceback.format_exception(caught.value))


def test_folder_reports_its_real_files(tmp_path):
    cls = load_runner_class(folder(tmp_path, FAILING, "f1"))
    with pytest.raises(RuntimeError) as caught:
        run(cls)
    last = traceback.extract_tb(caught.value.__traceback__)[-1]
    assert (last.filename, last.lineno) == (str(tmp_path / "helper.py"), 3)
    assert sys.modules[cls.__module__].__file__ == str(tmp_path / "Runner.py")


def test_inspect_finds_the_source_of_a_package():
    cls = load_runner_class(package({"Runner.py": "def answer():\n    return 1  # why\n" + BASE}))
    module = sys.modules[cls.__module__]
    assert inspect.getsource(module.answer) == "def answer():\n    return 1  # why\n"
    assert inspect.getsource(cls).startswith("class Runner(BaseRunner):")
    assert inspect.getmodule(cls) is module


def test_ipython_shows_the_lines_of_a_package():
    from IPython.core.ultratb import VerboseTB

    with pytest.raises(RuntimeError) as caught:
        answer(FAILING)
    text = VerboseTB(theme_name="nocolor").text(type(caught.value), caught.value, caught.value.__traceback__)
    assert "# the reason" in text


CLASSES = {
    "Runner.py": "from shapes import Box\ndef answer(): return Box(2).area\n" + BASE,
    "shapes.py": """
        from __future__ import annotations
        from dataclasses import dataclass
        from enum import Enum

        class Kind(Enum):
            ROUND = 1

        @dataclass
        class Box:
            side: int
            kind: Kind = Kind.ROUND

            @property
            def area(self) -> int:
                return self.side ** 2
    """,
}


def test_local_classes_work_with_dataclasses_typing_and_pickle():
    cls = load_runner_class(package(CLASSES))
    shapes = sys.modules[cls.__module__.replace(".Runner", ".shapes")]
    assert run(cls)[0] == ["4"]
    assert typing.get_type_hints(shapes.Box)["kind"] is shapes.Kind
    assert pickle.loads(pickle.dumps(shapes.Box(3))) == shapes.Box(3)


@pytest.mark.parametrize("options", [{}, {"compox": True}, {"runner": "a b/Runner.py"}])
def test_another_process_unpickles_with_a_source_finder(tmp_path, options):
    prefix = options.get("runner", "").removesuffix("Runner.py")
    source = package({prefix + path: text for path, text in CLASSES.items()})
    cls = load_runner_class(source, **options)
    shapes = sys.modules[cls.__module__.replace(".Runner", ".shapes")]
    (tmp_path / "box.pickle").write_bytes(pickle.dumps(shapes.Box(5)))
    (tmp_path / f"{source.identity}.zip").write_bytes(
        build_zip({path: source.read(path) for path in source.paths()})
    )
    code = f"""
import pickle, pathlib
from workbench.algorithms import loader
here = pathlib.Path({str(tmp_path)!r})
asked = []
def find(digest):
    asked.append(digest)
    return loader.PackageSource((here / (digest + ".zip")).read_bytes(), digest)
data = (here / "box.pickle").read_bytes()
try:
    pickle.loads(data)
except ModuleNotFoundError:
    loader.set_source_finder(find)
print(pickle.loads(data).area, asked == [{source.identity!r}])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["25", "True"], done.stderr


def test_pdb_shows_the_lines_of_a_package():
    cls = load_runner_class(
        package({"Runner.py": "def answer():\n    x = 5\n    return x + 37  # sum\n" + BASE})
    )
    out = io.StringIO()
    debugger = pdb.Pdb(stdin=io.StringIO("next\nlist\nquit\n"), stdout=out, nosigint=True, readrc=False)
    with contextlib.suppress(bdb.BdbQuit):
        debugger.runcall(sys.modules[cls.__module__].answer)
    assert "return x + 37  # sum" in out.getvalue()


# -- what can be wrong --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "text"),
    [
        (
            {"runner.py": BASE},
            r"There is no Runner\.py\. Did you mean 'runner\.py'\? Python files: runner\.py",
        ),
        ({"Runner.py": "x = 1\n"}, r"Runner\.py has no class Runner; no class in it derives from BaseRunner"),
        (
            {"Runner.py": BASE.replace("class Runner", "class Denoise")},
            r"has no class Runner; it defines Denoise\. Name the class of the algorithm Runner",
        ),
        (
            {"Runner.py": BASE + BASE},
            r"Runner\.py defines class Runner 2 times, lines 4, 16. Keep one",
        ),
        ({"Runner.py": "class Runner:\n    pass\n"}, r"derives from object, expected BaseRunner"),
        ({"Runner.py": "Runner = 3\n"}, r"Runner in Runner\.py is int 3, expected a class"),
        (
            {
                "Runner.py": "from workbench.runners import BaseRunner\nclass Runner(BaseRunner):\n    def inference(self, data, args={}): ...\n"
            },
            r"lacks preprocess, postprocess\. Write them",
        ),
        (
            {"Runner.py": BASE + "    def __init__(self, model, k=1): ...\n"},
            r"__init__ of class Runner in Runner\.py needs model, but it is called without arguments",
        ),
        ({"Runner.py": "def f(:\n"}, r"Runner\.py, line 1: .*: def f\(:\. Mend that line"),
        (
            {"Runner.py": "import helper\n", "helper.py": "x = 1\nif x\n"},
            r"helper\.py, line 2: expected ':': if x",
        ),
        (
            {"Runner.py": "import sys\nsys.exit(3)\n"},
            r"Runner\.py, line 2, exits Python while it is imported",
        ),
        (
            {"Runner.py": "from .helpr import f\n", "helper.py": ""},
            r"Runner\.py, line 1, does not find what it imports: No module named 'helpr'\. Did you mean 'helper'",
        ),
        (
            {"Runner.py": "import helper\n", "helper.py": "\nfrom helper2 import nope\n", "helper2.py": ""},
            r"helper\.py, line 2, does not find what it imports: cannot import name 'nope' from 'helper2'",
        ),
    ],
)
def test_what_is_wrong_is_named_with_file_and_next_step(files, text):
    source = package(files)
    with pytest.raises(InvalidAlgorithmError, match=text) as caught:
        load_runner_class(source)
    assert "Algorithm: demo@1.0." in str(caught.value)
    assert "workbench_algorithm_" not in str(caught.value)
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize("path", ["/abs/Runner.py", "../Runner.py", "Runner.txt", "v1.0/Runner.py", ""])
def test_runner_path_that_cannot_be_imported(path):
    with pytest.raises(InvalidAlgorithmError, match=r"runner is .*expected the path of a Python file"):
        load_runner_class(package({"Runner.py": BASE}), runner=path)


def test_null_bytes_are_no_source():
    data = build_zip({"Runner.py": b"x = 1\0\n"})
    with pytest.raises(InvalidAlgorithmError, match="null bytes"):
        load_runner_class(PackageSource(data, digest(data)))


def test_package_that_is_no_zip():
    with pytest.raises(DamagedError, match=r"denoise@1\.0 \(abc\) is no zip file.*Deploy it again"):
        PackageSource(b"not a zip", "abc", "denoise@1.0")


@pytest.mark.parametrize(
    ("module", "command"),
    [
        ("no_such_package_x", "pip install no_such_package_x"),
        ("no_such_package_x.sub", "pip install no_such_package_x"),
    ],
)
def test_missing_package_is_named_with_its_install_command(module, command):
    with pytest.raises(MissingPackageError, match=r"helper\.py, line 2, imports") as caught:
        load_runner_class(package({"Runner.py": "import helper\n", "helper.py": f"\nimport {module}\n"}))
    assert str(caught.value).endswith(command)
    assert caught.value.package == "no_such_package_x"


def test_torch_is_installed_as_our_extra():
    error = loader.missing_package(ModuleNotFoundError("No module named 'torch'", name="torch.nn"))
    assert str(error).endswith("pip install 'jupyter-workbench[torch]'")
    assert error.package == "torch"


def test_misspelt_local_module_gets_the_near_name():
    with pytest.raises(MissingPackageError, match=r"Did you mean 'helper_tools'\?"):
        load_runner_class(package({"Runner.py": "import helper_tool\n", "helper_tools.py": ""}))


def test_optional_package_may_be_missing():
    text = "try:\n    import no_such_package_x\nexcept ModuleNotFoundError:\n    no_such_package_x = None\n"
    assert answer({"Runner.py": text + "def answer(): return no_such_package_x\n" + BASE}) == "None"


def test_failed_import_leaves_nothing_half_imported_and_can_be_tried_again(tmp_path, monkeypatch):
    files = {
        "Runner.py": "import first\nimport second\nanswer = second.f\n" + BASE,
        "first.py": "try:\n    import late_package_x as late\nexcept ImportError:\n    late = None\n",
        "second.py": "import first, late_package_x\ndef f(): return first.late.ONE\n",
    }
    source, before = package(files), set(sys.modules)
    with pytest.raises(MissingPackageError):
        load_runner_class(source)
    assert set(sys.modules) == before
    (tmp_path / "late_package_x.py").write_text("ONE = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert run(load_runner_class(source))[0] == ["1"]
    monkeypatch.delitem(sys.modules, "late_package_x")
    monkeypatch.undo()


def test_failure_of_a_second_runner_keeps_the_first():
    source = package(
        {"Runner.py": "import helper\nanswer = int\n" + BASE, "helper.py": "", "Bad.py": "import nope_x\n"}
    )
    good = load_runner_class(source)
    with pytest.raises(MissingPackageError):
        load_runner_class(source, runner="Bad.py")
    assert load_runner_class(source) is good


def test_interrupt_during_the_import_passes_through():
    with pytest.raises(KeyboardInterrupt):
        answer({"Runner.py": "raise KeyboardInterrupt\n" + BASE})


def test_importlib_of_an_algorithm_does_not_change_ours():
    before = dict(vars(importlib))
    answer({"Runner.py": "import importlib\nimportlib.mine = 1\nanswer = int\n" + BASE})
    assert dict(vars(importlib)) == before
    assert isinstance(importlib, types.ModuleType)


# -- folders written for Compox -------------------------------------------------------------------------------------------------------


def compox_class(name: str, packed: bool) -> type[BaseRunner]:
    if packed:
        code = {
            p.relative_to(FOLDERS / name).as_posix(): p.read_bytes() for p in (FOLDERS / name).rglob("*.py")
        }
        data = build_zip(code)
        return load_runner_class(PackageSource(data, digest(data), name), compox=True)
    return load_runner_class(FolderSource(FOLDERS / name, "0"), compox=True)


@pytest.fixture(params=[True, False], ids=["package", "folder"])
def packed(request):
    return request.param


def blobs(n: int = 3) -> list[np.ndarray]:
    y, x = np.mgrid[:32, :40]
    return [(20 + 180 * (np.hypot(y - 16, x - 12 - i) < 6)).astype(np.uint8) for i in range(n)]


def test_compox_segmentation(packed):
    outputs, context = run(compox_class("bright_spots", packed), blobs())
    assert [np.array_equal(o["mask"], image > 100) for o, image in zip(outputs, blobs(), strict=True)] == [
        True
    ] * 3
    assert [level for level, _ in context.log] == ["INFO"] * 3
    assert context.progress[-1] == 1.0


def test_compox_denoising_with_parameters(packed):
    noisy = [b + np.random.default_rng(0).normal(0, 9, b.shape).astype(np.float32) for b in blobs()]
    cls = compox_class("smooth", packed)
    few, many = (run(cls, noisy, {"iterations": n, "weight": 0.2, "edges": "wrap"})[0] for n in (1, 8))
    before, after, later = (
        np.std(np.diff([d[:4] for d in stack]))
        for stack in (noisy, [o["image"] for o in few], [o["image"] for o in many])
    )
    assert before > after > later > 0
    assert few[0]["image"].dtype == np.float32


def test_compox_registration_gives_a_matrix_per_pair(packed):
    cls = compox_class("align_series", packed)
    base = np.random.default_rng(1).random((32, 40)).astype(np.float32)
    series = [np.roll(base, (2 * i, -3 * i), axis=(0, 1)) for i in range(4)]
    outputs, _ = run(
        cls,
        series,
        assets={"files/settings.json": (FOLDERS / "align_series/files/settings.json").read_bytes()},
    )
    assert [o["transform_matrix"][:2, 2].tolist() for o in outputs] == [[-3, 2]] * 3


def test_compox_identity_with_phases_of_its_own(packed):
    outputs, _ = run(compox_class("identity", packed), blobs())
    assert all(np.array_equal(o["image"], b) for o, b in zip(outputs, blobs(), strict=True))


def test_two_compox_folders_each_use_their_own_dependencies(packed):
    projection, bounds = compox_class("volume_projection", packed), compox_class("mesh_bounds", packed)
    volume = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    vertices = np.array([[0, 5, 1], [2, 3, 4], [1, 1, 9]], np.float64)
    for _ in range(2):
        outputs, context = run(projection, [volume], key="volume")
        assert outputs[0]["data"].tolist() == volume[1].tolist()
        assert context.log == [("INFO", "projection")]
        context = DictContext()
        mesh = context.put(vertices=vertices, faces=np.array([[0, 1, 2]]))
        (box,) = for_run(load(bounds, context), context).run({"input_dataset_ids": [mesh]})
        assert context.datasets[box]["data"].tolist() == [[0, 1, 1], [2, 5, 9]]
        assert context.log == [("INFO", "bounds")]


def test_older_compox_names(packed):
    outputs, _ = run(compox_class("older_names", packed), [np.eye(3, dtype=np.uint8)], key="mask")
    assert np.array_equal(outputs[0]["mask"], 1 - np.eye(3))


def test_inference_with_one_positional_more(packed):
    outputs, _ = run(compox_class("two_positional", packed), blobs(), {"a": 1})
    assert outputs == ["3 inputs", "1 parameters", "0 more"]


@pytest.fixture
def installed_compox(tmp_path, monkeypatch):
    """A package named compox, as if the real one were installed."""
    (tmp_path / "compox").mkdir()
    (tmp_path / "compox" / "__init__.py").write_text("REAL = True\n")
    (tmp_path / "tasks.py").write_text("REAL = True\n")
    with monkeypatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        yield
    for name in ("compox", "tasks"):
        sys.modules.pop(name, None)


@pytest.mark.usefixtures("installed_compox")
def test_alias_wins_in_compox_folders_only():
    text = (
        "import compox, tasks\ndef answer(): return hasattr(compox, 'REAL'), hasattr(tasks, 'REAL')\n" + BASE
    )
    assert answer({"Runner.py": text}, compox=True) == "(False, False)"
    assert answer({"Runner.py": text}) == "(True, True)"


def test_local_module_wins_over_the_alias():
    text = "import tasks\nanswer = tasks.f\n" + BASE
    assert answer({"Runner.py": text, "tasks.py": "def f(): return 'mine'\n"}, compox=True) == "mine"


def test_alias_serves_import_module_and_says_what_it_lacks():
    text = "import importlib\ndef answer(): return importlib.import_module('compox.algorithm_utils.io_schemas').__name__\n"
    assert answer({"Runner.py": text + BASE}, compox=True) == "compox.algorithm_utils.io_schemas"
    with pytest.raises(InvalidAlgorithmError, match=r"Runner\.py, line 1: No module named 'compox\.server'"):
        load_runner_class(package({"Runner.py": "import compox.server\n"}), compox=True)


def test_compox_import_without_the_table_says_to_add_it():
    with pytest.raises(MissingPackageError, match=r"add the table \[tool\.compox\] to its pyproject\.toml"):
        load_runner_class(
            package({"Runner.py": "from compox.algorithm_utils.BaseRunner import BaseRunner\n"})
        )
