"""The pyproject.toml of an algorithm folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.algorithms.declarations import Findings
from workbench.algorithms.manifest import Manifest, find_manifest, invalid
from workbench.errors import InvalidAlgorithmError
from workbench.models import AlgorithmType

PROJECT = '[project]\nname = "denoise"\nversion = "1.2.3"\n'


def read(folder: Path, text: str | bytes) -> tuple[Manifest, list[str]]:
    (folder / "pyproject.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_there(folder)


def read_there(folder: Path) -> tuple[Manifest, list[str]]:
    findings = Findings()
    manifest = find_manifest(folder, findings)
    if manifest is None or findings.problems:
        raise invalid(folder, findings.problems)
    return manifest, findings.warnings


def problems(folder: Path, text: str | bytes) -> tuple[str, ...]:
    with pytest.raises(InvalidAlgorithmError) as caught:
        read(folder, text)
    assert all(problem in str(caught.value) for problem in caught.value.problems)
    return tuple(caught.value.problems)


@pytest.mark.parametrize("tool", ["workbench", "compox"])
def test_all_keys_are_read_from_either_table(tmp_path: Path, tool: str) -> None:
    manifest, warnings = read(
        tmp_path,
        PROJECT
        + f"""
[tool.{tool}]
algorithm_type = "Segmentation2Segmentation"
tags = ["a", "b", "a"]
description = "Does it"
supported_devices = ["cpu", "cuda", "mps"]
default_device = "gpu"
check_importable = true
obfuscate = false
hash_module = true
hash_assets = true
additional_parameters = [
    {{name = "sigma", description = "d", config = {{type = "float_range", min = 0, max = 5, step = 0.5, default = 1}}}},
]
""",
    )
    assert warnings == []
    assert manifest.ref == "denoise@1.2"
    assert manifest.type is AlgorithmType.SEGMENTATION2SEGMENTATION
    assert manifest.tags == ("a", "b")
    assert (manifest.supported_devices, manifest.default_device) == (("cpu", "gpu", "mps"), "gpu")
    [spec] = manifest.parameters
    assert (spec.name, spec.default, spec.adjustable) == ("sigma", 1.0, tool == "workbench")
    assert manifest.compox is (tool == "compox")
    assert (manifest.runner, manifest.runner_class) == ("Runner.py", "Runner")


def test_own_keys_say_where_the_runner_is_and_what_it_promises(tmp_path: Path) -> None:
    manifest, _ = read(
        tmp_path,
        PROJECT
        + '[tool.workbench]\nrunner = "src/main.py:Denoiser"\ndeterministic = true\nretryable = false\n',
    )
    assert (manifest.runner, manifest.runner_class, manifest.runner_is_named) == (
        "src/main.py",
        "Denoiser",
        True,
    )
    assert manifest.settings == {"deterministic": True, "retryable": False}


def test_no_table_takes_the_defaults_and_says_so(tmp_path: Path) -> None:
    manifest, warnings = read(tmp_path, PROJECT)
    assert manifest.type is AlgorithmType.UNDEFINED
    assert manifest.supported_devices == ("cpu",)
    assert not manifest.has_table
    assert any("no [tool.workbench] table" in w for w in warnings)
    assert any("no description" in w for w in warnings)
    assert any("no tags" in w for w in warnings)


def test_project_description_serves_where_the_table_has_none(tmp_path: Path) -> None:
    manifest, _ = read(
        tmp_path, PROJECT + 'description = "From the project"\n[tool.workbench]\ntags = ["a"]\n'
    )
    assert manifest.description == "From the project"


@pytest.mark.parametrize("default", ["", 'default_device = ""'])
def test_default_device_is_one_that_is_supported(tmp_path: Path, default: str) -> None:
    manifest, _ = read(
        tmp_path, PROJECT + f'[tool.workbench]\nsupported_devices = ["GPU", "mps"]\n{default}\n'
    )
    assert manifest.default_device == "gpu"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[project\nname = 1", "not valid TOML"),
        ("[project]\nname = 'a'\nversion = 1.\n", "line 3"),
        (b"\xff\xfe", "not UTF-8"),
        ("", "no [project] table"),
        ('[project]\nversion = "1.0"', "no name"),
        ('[project]\nname = "d"', "no version"),
        ('[project]\nname = "d"\nversion = "1"', 'Write version = "1.0"'),
        ('[project]\nname = "d"\nversion = "a.b"', "expected major.minor"),
        ('[project]\nname = "d"\nversion = "1.2rc1"', "expected major.minor"),
        ('[project]\nname = "d"\nversion = "-1.0"', "expected major.minor"),
        ('[project]\nname = "d"\nversion = 1.0', "expected text"),
        ('[project]\nname = "a~b"\nversion = "1.0"', "Try 'a-b'"),
        ('[project]\nname = "a/b"\nversion = "1.0"', "has '/'"),
        ('[project]\nname = "..\'"\nversion = "1.0"', "[project] name"),
        (f'[project]\nname = "{"n" * 300}"\nversion = "1.0"', "300 characters"),
        ('[project]\nname = "d\U0001f600"\nversion = "1.0"', "'\U0001f600'"),
        ('[project]\nname = 3\nversion = "1.0"', "name is 3"),
        (PROJECT + "[tool.workbench]\n[tool.compox]\n", "both [tool.workbench] and [tool.compox]"),
        (PROJECT + "[tool]\nworkbench = 3\n", "tool.workbench is 3, expected a table"),
        (PROJECT + "[tool.workbench]\ndescripton = 'a'\n", "Did you mean 'description'?"),
        (PROJECT + "[tool.workbench]\ndescription = 3\n", "description is 3, expected text"),
        (PROJECT + "[tool.workbench]\ntags = 'a'\n", "tags is 'a', expected a list of texts"),
        (PROJECT + "[tool.workbench]\ntags = ['a b']\n", "tag 'a b'"),
        (PROJECT + "[tool.workbench]\nalgorithm_type = 'image2image'\n", "Did you mean 'Image2Image'"),
        (PROJECT + "[tool.workbench]\nsupported_devices = ['tpu']\n", "supported_devices has 'tpu'"),
        (PROJECT + "[tool.workbench]\ndefault_device = 'gpu'\n", "not in supported_devices ['cpu']"),
        (PROJECT + "[tool.workbench]\nobfuscate = 'yes'\n", "obfuscate is 'yes', expected true or false"),
        (PROJECT + "[tool.workbench]\ndeterministic = 1\n", "deterministic is 1, expected true or false"),
        (
            PROJECT + "[tool.workbench]\nretryable = 1\n",
            "retryable is 1, expected a list with the names of exceptions",
        ),
        (PROJECT + "[tool.workbench]\nretryable = 'OSError'\n", 'Write retryable = ["OSError"]'),
        (PROJECT + "[tool.workbench]\nretryable = 'no name'\n", 'Write retryable = ["OSError"]'),
        (PROJECT + "[tool.workbench]\nretryable = [3]\n", "expected names of exceptions"),
        (PROJECT + '[tool.workbench]\nretryable = ["no name"]\n', "expected names of exceptions"),
        (PROJECT + '[tool.workbench]\nmemory = "much"\n', "memory is 'much', expected bytes or a text"),
        (PROJECT + '[tool.workbench]\nmemory = "4 PB"\n', "B, kB, MB, GB or TB (thousands), or KiB"),
        (
            PROJECT + "[tool.workbench]\ndevice_matters = 'no'\n",
            "device_matters is 'no', expected true or false",
        ),
        (PROJECT + "[tool.workbench]\ndevice_matter = true\n", "Did you mean 'device_matters'"),
        (PROJECT + "[tool.workbench]\nrunner = '../Runner.py'\n", "'..' segment"),
        (PROJECT + "[tool.workbench]\nrunner = '/Runner.py'\n", "begins with '/'"),
        (PROJECT + "[tool.workbench]\nrunner = 'Runner.txt'\n", "expected the path of a Python file"),
        (PROJECT + "[tool.workbench]\nrunner = 'Runner.py:1a'\n", "expected a class name"),
        (PROJECT + "[tool.workbench]\nparameters = 3\n", "expected tables"),
        (PROJECT + "[tool.workbench]\nparameters = []\nadditional_parameters = []\n", "both parameters and"),
        (PROJECT + "[[tool.workbench.parameters]]\nname = 'p'\ntype = 'flot'\n", "Did you mean 'float'?"),
    ],
)
def test_wrong_toml_is_refused_with_field_and_next_step(tmp_path: Path, text: str | bytes, said: str) -> None:
    found = problems(tmp_path, text)
    assert any(said in problem for problem in found), found


def test_a_memory_without_its_unit_is_noticed(tmp_path: Path) -> None:
    found = Findings()
    (tmp_path / "pyproject.toml").write_text(PROJECT + "[tool.workbench]\nmemory = 4\n")
    assert find_manifest(tmp_path, found) is not None
    assert any('Was a unit left out? Write memory = "4 GB".' in warning for warning in found.warnings)


def test_missing_toml_shows_one_to_begin_with(tmp_path: Path) -> None:
    with pytest.raises(InvalidAlgorithmError, match=r"no pyproject\.toml(.|\n)*\[tool\.workbench\]"):
        read_there(tmp_path)


def test_all_problems_come_in_one_error(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        '[project]\nname = "a~b"\nversion = "1"\n[tool.workbench]\ntags = 3\ndefault_device = "mps"\n'
        "[[tool.workbench.parameters]]\nname = 'p'\ntype = 'int_range'\nmin = 0\nmax = 5\nstep = 1\ndefault = 9\n",
    )
    assert len(found) == 5


def test_unknown_key_of_a_compox_folder_only_warns(tmp_path: Path) -> None:
    manifest, warnings = read(tmp_path, PROJECT + "[tool.compox]\nwidget = 1\ntags = ['two words']\n")
    assert any("'widget'" in w for w in warnings)
    assert manifest.tags == ("two words",)


def test_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    assert read(tmp_path, b"\xef\xbb\xbf" + PROJECT.encode())[0].name == "denoise"


def test_what_runs_need_is_read(tmp_path: Path) -> None:
    table = (
        '[tool.workbench]\nretryable = ["OSError"]\nmemory = "4 GiB"\nresumable = true\nshares_gpu = true\n'
    )
    (tmp_path / "pyproject.toml").write_text(PROJECT + table)
    manifest, _ = read_there(tmp_path)
    assert manifest.settings == {
        "retryable": ["OSError"],
        "memory": 4 << 30,
        "resumable": True,
        "shares_gpu": True,
    }
