"""Digests of code: what counts as a change, and how it is named."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
from algorithm_folders import write_algorithm

import workbench
from workbench.algorithms.code_digest import code_of, differences

CODE = '''
    """Smooth."""
    import numpy as np

    ITERATIONS = 10


    def smooth(image, sigma):
        """Smooth an image."""
        return image * sigma + 0.5


    class Runner:
        """Runs it."""

        scale: float = 1.0
        name = "smooth"

        def inference(self, data, args):
            for _ in range(ITERATIONS):
                data = smooth(data, 1000.0)
            return data
'''


def module(text: str) -> bytes:
    return textwrap.dedent(text).encode()


def changed(old: str, new: str, code: str = CODE) -> list[str]:
    """Return what is named after a replacement; nothing if the digest stays."""
    assert old in code
    before, after = code_of({"m.py": module(code)}), code_of({"m.py": module(code.replace(old, new))})
    named = differences(before, after)
    assert bool(named) == (before.digest != after.digest)
    return named


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("ITERATIONS = 10", "# ten of them\n    ITERATIONS   =   10  # really"),
        ('"""Smooth an image."""', '"""Smooth an image, slowly."""'),
        ('        """Smooth an image."""\n', ""),
        ('"""Runs it."""', "'Runs.'"),
        ("1000.0", "1e3"),
        ('"smooth"', "u'smooth'"),
        ("image * sigma + 0.5", "(\n            image * sigma\n            + 0.5\n        )"),
        ("\n\n\n    def smooth", "\n    def smooth"),
    ],
)
def test_comments_docstrings_and_formatting_do_not_count(old: str, new: str) -> None:
    assert changed(old, new) == []


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("ITERATIONS = 10", "ITERATIONS = 20", "m.py: constant ITERATIONS 10 -> 20"),
        ("ITERATIONS = 10", "ITERATIONS = 10.0", "m.py: constant ITERATIONS 10 -> 10.0"),
        ('name = "smooth"', 'name = "blur"', "m.py: constant Runner.name 'smooth' -> 'blur'"),
        ("scale: float = 1.0", "scale: float = 2.0", "m.py: constant Runner.scale 1.0 -> 2.0"),
        ("scale: float", "scale: int", "m.py: annotation of Runner.scale changed"),
        ("+ 0.5", "- 0.5", "m.py: function smooth changed"),
        ("return data", "return data + 1", "m.py: method Runner.inference changed"),
        ("class Runner:", "class Runner(dict):", "m.py: class Runner changed"),
        ("import numpy as np", "import numpy", "m.py: imports changed"),
        ("ITERATIONS = 10", "ITERATIONS = 10\n    np.seterr()", "m.py: statements added"),
        ("ITERATIONS = 10", "ITERATIONS = 10\n    SEED = 3", "m.py: constant SEED added, 3"),
    ],
)
def test_a_change_is_named(old: str, new: str, named: str) -> None:
    assert changed(old, new) == [named]


def test_the_order_of_statements_counts() -> None:
    first, second = b"a = f()\nb = g()\n", b"b = g()\na = f()\n"
    named = differences(code_of({"m.py": first}), code_of({"m.py": second}))
    assert named == ["m.py: order of its statements changed"]


def test_a_statement_that_leaves_its_class_counts() -> None:
    inside, outside = b"class A:\n    x = 1\n    y = 2\n", b"class A:\n    x = 1\ny = 2\n"
    assert code_of({"m.py": inside}).digest != code_of({"m.py": outside}).digest


@pytest.mark.parametrize(
    "reader", ["print(smooth.__doc__)", "getattr(smooth, '__doc__')", "inspect.getdoc(smooth)"]
)
def test_docstrings_count_where_some_module_reads_them(reader: str) -> None:
    def digest(text: str) -> str:
        sources = {"m.py": module(CODE.replace("Smooth an image", text)), "other.py": reader.encode()}
        return code_of(sources).digest

    assert digest("Smooth an image") != digest("Blur an image")


def test_comments_count_where_some_module_reads_its_source() -> None:
    reader = b"import inspect\nprint(inspect.getsource(f))"
    one, two = (code_of({"m.py": b"x = 1" + comment, "r.py": reader}) for comment in (b"", b"  # one"))
    assert one.digest != two.digest


@pytest.mark.parametrize("broken", [b"def f(:\n", b"x = '\xff'\n", b"x = 1\0\n", b"(" * 5000 + b")" * 5000])
def test_code_that_cannot_be_parsed_counts_byte_by_byte(broken: bytes) -> None:
    assert code_of({"m.py": broken}).digest == code_of({"m.py": broken}).digest
    named = differences(code_of({"m.py": broken}), code_of({"m.py": broken + b"#"}))
    assert named == ["m.py: changed"]


def test_a_bad_escape_sequence_warns_nobody_and_is_parsed() -> None:
    one, two = (code_of({"m.py": b"x = '\\d'" + comment}) for comment in (b"", b"  # digits"))
    assert one.digest == two.digest


def test_modules_that_come_go_or_move_are_named() -> None:
    old, new = code_of({"a.py": b"x = 1", "b.py": b"y = 1"}), code_of({"a.py": b"x = 1", "c.py": b"y = 1"})
    assert old.digest != new.digest
    assert differences(old, new) == ["b.py: gone", "c.py: added"]


def test_code_is_read_once_per_package(tmp_path: Path) -> None:
    with workbench.open(tmp_path / "ws") as ws:
        folder = write_algorithm(tmp_path / "a")
        first = ws.algorithms.deploy(folder, check=False).revision
        (folder / "weights.txt").write_text("1")
        second = ws.algorithms.deploy(folder, check=False).revision
        assert ws.algorithms.code(first) is ws.algorithms.code(second)
        assert list(ws.algorithms.code(first).modules) == ["Runner.py"]
