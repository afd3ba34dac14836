"""The cell that repeats a click: read back by IPython and the magics it gives the same values."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
import yaml
from IPython.core.inputtransformer2 import TransformerManager

from workbench.algorithms.parameters import Parameters
from workbench.commands.words import split_words
from workbench.models import ParameterSpec
from workbench.notebook.insert_cell import MAX_LINE, cell_code

SPECS = {
    "string": [
        "a",
        "",
        "a b",
        "it's",
        'say "hi"',
        '"quoted"',
        "two\nlines",
        "$HOME",
        "{x}",
        "why?",
        "none",
        " x ",
        "µ=1",
        "\\",
    ],
    "int": [0, -3, 2**70],
    "float": [1.0, 1e-05, 1e22, -0.0, 0.1 + 0.2, float("inf"), 5e-324],
    "bool": [True, False],
    "string_list": [[], ["a", "b c", "d,e", '"'], ["x\ny"]],
    "int_list": [[], [1, -2, 2**60 + 1]],
    "float_list": [[1e-07, 2.0], []],
    "bool_list": [[True, False]],
    "int_tuple": [(1, 2)],
    "float_tuple": [(0.5, 1e-05)],
}
CASES = [(type_, value) for type_, values in SPECS.items() for value in values]


def read_back(code: str, parameters: Parameters) -> tuple[list[str], dict[str, Any]]:
    """Do what IPython and the magic do with a cell."""
    import ast

    call = ast.parse(TransformerManager().transform_cell(code)).body[-1].value  # type: ignore[attr-defined]
    arguments = [ast.literal_eval(argument) for argument in call.args]
    name, line, *body = arguments
    assert name == "algorun"
    words, texts = split_words(shlex.split(line)[1:])
    values = {key: parameters.parse(key, text) for key, text in texts.items()}
    return words, parameters.validate({**(yaml.safe_load(body[0]) if body else {}), **values})


@pytest.mark.parametrize(("type_", "value"), CASES, ids=lambda v: repr(v)[:24])
@pytest.mark.parametrize("optional", [False, True])
def test_inserted_cell_gives_the_same_value(type_: str, value: Any, optional: bool) -> None:
    parameters = Parameters([ParameterSpec(name="p", type=type_, length=2, optional=optional)])
    code = cell_code("denoise@1.0", ["volume"], {"p": value}, parameters)
    words, values = read_back(code, parameters)
    assert words == ["volume"]
    assert repr(values["p"]) == repr(value)


def test_none_of_an_optional_parameter_is_repeated() -> None:
    parameters = Parameters([ParameterSpec(name="p", type="float", default=1.0, optional=True)])
    assert read_back(cell_code("a@1.0", [], {"p": None}, parameters), parameters) == ([], {"p": None})


def test_simple_values_make_a_line_and_many_make_a_cell() -> None:
    parameters = Parameters([ParameterSpec(name=f"parameter_{i}", type="float") for i in range(9)])
    assert cell_code("a@1.0", ["x"], {"parameter_1": 2.5}, parameters) == "%algorun a@1.0 x parameter_1=2.5"
    values = {spec.name: 0.1 for spec in parameters.specs}
    code = cell_code("a@1.0", ["x", "my file.tif"], values, parameters)
    assert code.startswith("%%algorun a@1.0 x 'my file.tif'\nparameter_0: 0.1\n")
    assert max(map(len, code.splitlines())) <= MAX_LINE
    assert read_back(code, parameters) == (["x", "my file.tif"], values)


def test_cell_without_parameters_is_a_line_however_long() -> None:
    code = cell_code("a@1.0", ["x" * 200], {}, Parameters([]))
    assert read_back(code, Parameters([])) == (["x" * 200], {})


def test_a_run_in_the_background_is_repeated_there() -> None:
    parameters = Parameters([ParameterSpec(name="p", type="string")])
    assert cell_code("a@1.0", ["x"], {"p": "y"}, parameters, background=True) == "%algorun -b a@1.0 x p=y"
    code = cell_code("a@1.0", ["x"], {"p": "two\nlines"}, parameters, background=True)
    assert code.startswith("%%algorun -b a@1.0 x\n")
