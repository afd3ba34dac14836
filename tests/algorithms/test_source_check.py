"""What is told of the code without running it."""

from __future__ import annotations

from pathlib import Path

import pytest
from algorithm_folders import INVERT, write_algorithm

from workbench.algorithms.folder import read_folder
from workbench.errors import InvalidAlgorithmError, NotFoundError


def problem(folder: Path) -> str:
    with pytest.raises(InvalidAlgorithmError) as caught:
        read_folder(folder)
    [only] = caught.value.problems
    return str(only)


def test_good_folder_has_no_problems(tmp_path: Path) -> None:
    folder = read_folder(write_algorithm(tmp_path, files={"w.bin": b"123"}))
    assert folder.manifest.ref == "invert@1.0"
    assert folder.sizes["w.bin"] == 3
    assert folder.warnings == []


def test_missing_runner_shows_how_to_begin(tmp_path: Path) -> None:
    write_algorithm(tmp_path)
    (tmp_path / "Runner.py").unlink()
    assert "class Runner(Image2ImageRunner)" in problem(tmp_path)


def test_runner_at_another_place_is_offered(tmp_path: Path) -> None:
    write_algorithm(tmp_path, files={"src/main.py": INVERT})
    (tmp_path / "Runner.py").unlink()
    assert 'runner = "src/main.py"' in problem(tmp_path)


def test_named_runner_file_must_be_there(tmp_path: Path) -> None:
    write_algorithm(tmp_path, extra='runner = "src/mian.py"', files={"src/main.py": INVERT})
    assert 'Write runner = "src/main.py"' in problem(tmp_path)


def test_two_classes_of_that_name_are_refused_with_their_lines(tmp_path: Path) -> None:
    write_algorithm(tmp_path, code="class Runner:\n    pass\n\nclass Runner:\n    pass\n")
    assert "2 classes Runner (Runner.py:1, Runner.py:4)" in problem(tmp_path)


def test_two_runner_files_are_refused_unless_one_is_named(tmp_path: Path) -> None:
    write_algorithm(tmp_path, files={"old/runner.py": INVERT})
    assert "several Runners: Runner.py, old/runner.py" in problem(tmp_path)
    write_algorithm(tmp_path, extra='runner = "Runner.py"')
    assert read_folder(tmp_path).manifest.runner == "Runner.py"


def test_two_runner_files_of_a_compox_folder_only_warn(tmp_path: Path) -> None:
    write_algorithm(tmp_path, files={"old/Runner.py": INVERT})
    toml = tmp_path / "pyproject.toml"
    toml.write_text(toml.read_text().replace("tool.workbench", "tool.compox"))
    assert any("Runner.py is taken" in w for w in read_folder(tmp_path).warnings)


def test_class_of_another_name_is_offered(tmp_path: Path) -> None:
    write_algorithm(tmp_path, code="class InvertRunner:\n    pass\n")
    assert 'runner = "Runner.py:InvertRunner"' in problem(tmp_path)


@pytest.mark.parametrize(
    "code",
    [
        "from helper import Runner",
        "from helper import X as Runner",
        "Runner = make()",
        "if a:\n    class Runner: pass",
    ],
)
def test_runner_may_be_bound_in_other_ways(tmp_path: Path, code: str) -> None:
    assert read_folder(write_algorithm(tmp_path, code=code)).warnings == []


def test_syntax_error_names_file_line_and_source(tmp_path: Path) -> None:
    write_algorithm(tmp_path, code="x = 1\ndef f(:\n    pass\n")
    assert "Runner.py:2: " in problem(tmp_path)
    assert "def f(:" in problem(tmp_path)


@pytest.mark.parametrize("source", [b"x = '\xff'", b"x = 1\x00"])
def test_source_that_is_no_text_is_a_problem(tmp_path: Path, source: bytes) -> None:
    write_algorithm(tmp_path)
    (tmp_path / "Runner.py").write_bytes(source)
    assert "Runner.py" in problem(tmp_path)


def test_syntax_error_in_another_file_only_warns(tmp_path: Path) -> None:
    folder = write_algorithm(tmp_path, files={"templates/t.py": "def {{name}}(): pass"})
    assert any("templates/t.py:1" in w for w in read_folder(folder).warnings)


def test_problems_of_toml_files_and_code_come_together(tmp_path: Path) -> None:
    write_algorithm(
        tmp_path, version="1.0", extra='colour = "red"\n[[tool.workbench.parameters]]\nname = "p"\n'
    )
    with pytest.raises(InvalidAlgorithmError) as caught:
        read_folder(tmp_path)
    assert len(caught.value.problems) == 2


def test_folder_without_a_table_that_imports_compox_counts_as_written_for_it(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "a"\nversion = "1.0"\n')
    (tmp_path / "Runner.py").write_text(
        "from workbench.runners import BaseRunner\nclass Runner(BaseRunner): pass\n"
    )
    assert not read_folder(tmp_path).manifest.compox
    (tmp_path / "Runner.py").write_text(
        "from compox.algorithm_utils.BaseRunner import BaseRunner\nclass Runner(BaseRunner): pass\n"
    )
    assert read_folder(tmp_path).manifest.compox


def test_place_that_is_no_folder_is_explained(tmp_path: Path) -> None:
    write_algorithm(tmp_path / "denoise")
    with pytest.raises(NotFoundError, match="Did you mean 'denoise'"):
        read_folder(tmp_path / "denois")
    with pytest.raises(InvalidAlgorithmError, match="is a file, expected the folder"):
        read_folder(tmp_path / "denoise" / "Runner.py")
