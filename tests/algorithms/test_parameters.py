"""Parameters: declarations, values, texts, JSON Schema."""

from __future__ import annotations

import json
import math
import pickle
from enum import Enum
from typing import Annotated, Any, Literal

import numpy as np
import pytest
from pydantic import BaseModel, Field, field_validator

from workbench.algorithms.declarations import Findings, read_tables
from workbench.algorithms.kinds import KINDS
from workbench.algorithms.parameters import Parameters
from workbench.errors import InvalidAlgorithmError, InvalidParameterError
from workbench.models import ParameterSpec, Revision, now


def one(type_: str, *, compox: bool = False, **config: Any) -> Parameters:
    table = {"name": "p", "description": "what it does", "config": {"type": type_, **config}}
    return Parameters.from_tables([table], "denoise@1.0", compox=compox)


def test_a_key_beside_config_is_told_where_it_belongs() -> None:
    table = {
        "name": "p",
        "description": "what it does",
        "unit": "px",
        "config": {"type": "int", "default": 1},
    }
    with pytest.raises(InvalidAlgorithmError, match=r"'unit' beside config. Move it into config = \{"):
        Parameters.from_tables([table])


RANGE = {"min": 0, "max": 10, "step": 1}
GOOD: list[tuple[str, dict[str, Any], Any, Any]] = [
    ("string", {}, "a", "a"),
    ("string", {}, np.str_("a"), "a"),
    ("int", {}, 3, 3),
    ("int", {}, np.int16(3), 3),
    ("int", {}, np.array(3), 3),
    ("float", {}, 3, 3.0),
    ("float", {}, np.float32(0.5), 0.5),
    ("float", {}, math.inf, math.inf),
    ("bool", {}, True, True),
    ("bool", {}, np.bool_(True), True),
    ("int_range", RANGE, 10, 10),
    ("float_range", RANGE, 0, 0.0),
    ("string_enum", {"options": ["a", "b"]}, "b", "b"),
    ("int_enum", {"options": [1, 2]}, 2, 2),
    ("float_enum", {"options": [1, 2.5]}, 1, 1.0),
    ("string_list", {}, ("a", "b"), ["a", "b"]),
    ("int_list", {}, np.arange(3), [0, 1, 2]),
    ("float_list", {}, [1, 2.5], [1.0, 2.5]),
    ("bool_list", {}, [True], [True]),
    ("int_list", {"options": [[1, 2], [3]]}, [3], [3]),
    ("string_list", {"options": ["a", "b"]}, ["b"], ["b"]),
    ("int_tuple", {"length": 2}, [1, 2], (1, 2)),
    ("float_tuple", {"length": 3, "min": 0}, np.zeros(3), (0.0, 0.0, 0.0)),
]


@pytest.mark.parametrize(("type_", "config", "value", "expected"), GOOD)
def test_value_is_taken_in_the_exact_python_type(
    type_: str, config: dict[str, Any], value: Any, expected: Any
) -> None:
    got = one(type_, **config).validate({"p": value})["p"]
    assert got == expected
    assert type(got) is type(expected)
    if isinstance(got, (list, tuple)):
        assert [type(g) for g in got] == [type(e) for e in expected]


@pytest.mark.parametrize(
    ("type_", "config", "value", "said"),
    [
        ("string", {}, 1, "expected text"),
        ("int", {}, True, "expected a whole number"),
        ("int", {}, 2.0, "expected a whole number"),
        ("int", {}, "2", "expected a whole number"),
        ("float", {}, "2.0", "expected a number"),
        ("float", {}, False, "expected a number"),
        ("float", {}, 10**400, "expected a number"),
        ("bool", {}, 1, "expected true or false"),
        ("bool", {}, np.int8(1), "expected true or false"),
        ("int_range", RANGE, 11, "expected 0 to 10"),
        ("float_range", RANGE, -1, "expected 0.0 to 10.0"),
        ("float_range", RANGE, math.nan, "expected a finite number"),
        ("float", {"min": 0}, math.inf, "expected a finite number"),
        ("float", {"min": 0, "min_excluded": True}, 0, "expected greater than 0.0"),
        ("int", {"multiple_of": 2}, 3, "expected a multiple of 2"),
        ("string_enum", {"options": ["fast", "slow"]}, "fsat", "Pass p='fast'"),
        ("int_enum", {"options": [0, 1]}, True, "expected a whole number"),
        ("int_list", {}, ["x"], "item 1 is 'x'"),
        ("int_list", {}, [1, True], "item 2 is True"),
        ("string_list", {}, "ab", "expected a list of texts"),
        ("int_list", {}, np.zeros((2, 2), int), "expected a list of whole numbers"),
        ("int_list", {"options": [[1, 2]]}, [1], "expected one of [1, 2]"),
        ("int_list", {"max": 5}, [1, 9], "item 2 is 9"),
        ("string_list", {"options": ["a"]}, ["z"], "item 1 is 'z'"),
        ("int_tuple", {"length": 2}, (1, 2, 3), "expected 2 whole numbers, not 3"),
        ("int", {}, None, "expected a whole number"),
    ],
)
def test_value_that_does_not_fit_is_refused(
    type_: str, config: dict[str, Any], value: Any, said: str
) -> None:
    parameters = one(type_, **config)
    with pytest.raises(InvalidParameterError) as caught:
        parameters.validate({"p": value})
    assert said in str(caught.value)
    assert parameters.check("p", value) == caught.value.problems["p"]


def test_message_says_what_where_and_what_to_do() -> None:
    spec = ParameterSpec(name="sigma", type="float", default=1.0, min=0.0, unit="px")
    with pytest.raises(InvalidParameterError) as caught:
        Parameters([spec], "denoise@1.0").validate({"sigma": -2.0})
    assert str(caught.value) == (
        "Parameter 'sigma' is -2.0 px, expected at least 0.0. Algorithm 'denoise@1.0'. "
        "Pass sigma=0.0 or larger; see ws.algorithms.describe('denoise')."
    )
    assert pickle.loads(pickle.dumps(caught.value)).problems == caught.value.problems


def test_every_problem_is_reported_at_once_and_the_nearest_name_offered() -> None:
    parameters = Parameters(
        [ParameterSpec(name="sigma", type="float", default=1.0), ParameterSpec(name="rounds", type="int")],
        "d@1.0",
    )
    with pytest.raises(InvalidParameterError) as caught:
        parameters.validate({"sigam": 1, "sigma": "x"})
    assert set(caught.value.problems) == {"sigam", "sigma", "rounds"}
    assert "Did you mean 'sigma'?" in caught.value.problems["sigam"]
    assert "no value and no default" in caught.value.problems["rounds"]
    assert all(p in str(caught.value) for p in caught.value.problems.values())


def test_defaults_are_filled_in_and_never_shared() -> None:
    parameters = one("int_list", default=[1])
    first = parameters.validate()
    first["p"].append(2)
    assert parameters.validate() == {"p": [1]}
    assert parameters.defaults() == {"p": [1]}


def test_optional_parameter_takes_none_and_has_it_as_default() -> None:
    parameters = one("float_range", **RANGE, optional=True)
    assert parameters.validate() == {"p": None}
    assert parameters.validate({"p": None}) == {"p": None}
    assert parameters.validate({"p": 2}) == {"p": 2.0}
    assert one("float", default=1.0, optional=True).validate({"p": None}) == {"p": None}


def test_compox_parameter_without_default_is_left_out_of_the_arguments() -> None:
    parameters = one("int", compox=True)
    assert parameters.validate() == {}
    assert parameters.validate({"p": 3}) == {"p": 3}
    assert not parameters.is_required("p")
    assert one("int").is_required("p")


def test_enum_without_default_takes_its_first_option() -> None:
    assert one("string_enum", options=["b", "a"]).validate() == {"p": "b"}


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"type": "flaot"}, "Did you mean 'float'?"),
        ({}, "has no type"),
        ({"type": "int", "default": True}, "default is True, expected a whole number"),
        ({"type": "int", "default": 1.5}, "default is 1.5"),
        ({"type": "int_range", "min": 0, "max": 10}, "without step"),
        ({"type": "int_range", "min": 0.5, "max": 10, "step": 1}, "min is 0.5, expected a whole number"),
        ({"type": "int_range", "min": 10, "max": 0, "step": 1}, "expected min less than max"),
        ({"type": "float_range", "min": 0, "max": 1, "step": 0}, "step is 0, expected more than 0"),
        (
            {"type": "float_range", "min": 0, "max": math.inf, "step": 1},
            "max is inf, expected a finite number",
        ),
        ({"type": "int_range", **RANGE, "default": 11}, "default is 11, expected 0 to 10"),
        ({"type": "string_enum"}, "without options"),
        ({"type": "string_enum", "options": ["a"], "default": "z"}, "default is 'z', expected one of 'a'"),
        ({"type": "int_enum", "options": [1, "a"]}, "option 'a' does not fit"),
        ({"type": "int_enum", "options": 3}, "options is 3, expected a list"),
        ({"type": "int_list", "default": ["x"]}, "item 1 is 'x'"),
        ({"type": "int_tuple", "default": [1, 2]}, "has no length"),
        ({"type": "int_tuple", "length": 2, "default": [1]}, "expected 2 whole numbers"),
        ({"type": "int", "adjustable": "yes"}, "adjustable is 'yes'"),
        ({"type": "int", "unit": 3}, "unit is 3"),
        ({"type": "int", "defualt": 3}, "Did you mean 'default'?"),
    ],
)
def test_wrong_declaration_is_refused_by_name(config: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidAlgorithmError) as caught:
        Parameters.from_tables([{"name": "p", "description": "d", "config": config}])
    assert any("'p'" in problem and said in problem for problem in caught.value.problems)


def test_all_declaration_problems_come_together() -> None:
    findings = Findings()
    tables = [{"name": "a", "type": "x"}, {"name": "b", "type": "int", "default": "t"}, {"type": "int"}]
    tables += [{"name": "no-name", "type": "int"}, {"name": "c", "type": "int"}, {"name": "c", "type": "int"}]
    specs = read_tables(tables, findings)
    assert [s.name for s in specs] == ["c"]
    assert len(findings.problems) == 5
    assert any("no description" in w for w in findings.warnings)
    read_tables("sigma", findings)
    assert "expected tables" in findings.problems[-1]


def test_compox_declarations_are_read_leniently_where_it_was_lenient() -> None:
    findings = Findings()
    table = {
        "name": "pixel size",
        "config": {"type": "float_range", "min": 0, "max": 5, "step": 0.5, "widget": "x"},
    }
    [spec] = read_tables([table], findings, compox=True)
    assert findings.problems == []
    assert any("'widget'" in w for w in findings.warnings)
    assert (spec.min, spec.max, spec.adjustable) == (0.0, 5.0, False)
    assert type(spec.min) is float
    assert Parameters([spec]).validate({"pixel size": 1}) == {"pixel size": 1.0}


@pytest.mark.parametrize("name", ["copy", "model_config", "json", "schema", "lambda", "field_x", "self"])
def test_names_that_mean_something_to_python_or_pydantic_work(name: str) -> None:
    parameters = Parameters([ParameterSpec(name=name, type="int", default=1)])
    assert parameters.validate({name: 2}) == {name: 2}
    assert parameters.json_schema()["properties"][name]["default"] == 1


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_specs_survive_json(kind: str) -> None:
    config: dict[str, Any] = {"int_range": RANGE, "float_range": RANGE}.get(kind, {})
    defaults = {"string": "a", "int": 1, "float": 2.0, "bool": True, "int_range": 3, "float_range": 4.0}
    defaults |= {
        "string_enum": "a",
        "int_enum": 1,
        "float_enum": 2.0,
        "int_tuple": [1, 2],
        "float_tuple": [1.0, 2.0],
    }
    defaults |= {"dict": {"a": [1]}, "any": [1, {"b": None}]}
    defaults |= {"string_list": ["a"], "int_list": [1], "float_list": [1.0], "bool_list": [True]}
    if kind.endswith("_enum"):
        config = {"options": [defaults[kind]]}
    if kind.endswith("_tuple"):
        config = {"length": 2}
    parameters = one(kind, **config, default=defaults[kind])
    revision = Revision(
        id="x", name="d", major=1, minor=0, parameters=parameters.specs, package="p", created=now()
    )
    again = Parameters(Revision.model_validate_json(revision.to_json()).parameters)
    assert again.specs == parameters.specs
    assert repr(again.validate()) == repr(parameters.validate())
    json.dumps(again.json_schema())


def test_infinite_default_survives_json() -> None:
    spec = ParameterSpec(name="limit", type="float", default=math.inf)
    assert ParameterSpec.model_validate_json(spec.to_json()).default == math.inf


def test_json_schema_tells_types_bounds_options_and_units() -> None:
    parameters = Parameters(
        [
            ParameterSpec(
                name="sigma_px",
                type="float_range",
                min=0.0,
                max=5.0,
                step=0.5,
                default=1.0,
                unit="px",
                description="Width",
            ),
            ParameterSpec(name="mode", type="string_enum", options=("a", "b"), default="a"),
            ParameterSpec(name="size", type="int_tuple", length=2, optional=True, min=1, min_excluded=True),
            ParameterSpec(name="radii", type="int_list", options=((1, 2), (3,)), max=9, multiple_of=1),
        ]
    )
    schema = parameters.json_schema()
    sigma = schema["properties"]["sigma_px"]
    assert sigma == {
        "title": "Sigma px", "description": "Width", "default": 1.0, "type": "number", "minimum": 0.0, "maximum": 5.0,
        "x-kind": "float_range", "x-adjustable": True, "x-step": 0.5, "x-unit": "px",
    }  # fmt: skip
    assert schema["properties"]["mode"]["enum"] == ["a", "b"]
    size = schema["properties"]["size"]["anyOf"]
    assert size[0] == {
        "type": "array",
        "items": {"type": "integer", "exclusiveMinimum": 1},
        "minItems": 2,
        "maxItems": 2,
    }
    assert size[1] == {"type": "null"}
    assert schema["properties"]["radii"]["enum"] == [[1, 2], [3]]
    assert schema["required"] == ["radii"]
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize(
    ("type_", "config", "text", "value"),
    [
        ("float", {}, "2", 2.0),
        ("float", {}, "1e-3", 0.001),
        ("int", {}, " 7 ", 7),
        ("bool", {}, "True", True),
        ("bool", {}, "off", False),
        ("string", {}, "two words", "two words"),
        ("string", {}, "'quoted'", "quoted"),
        ("string", {}, "none", "none"),
        ("string", {"optional": True}, "none", None),
        ("string", {"optional": True}, "'none'", "none"),
        ("int_list", {}, "1,2,3", [1, 2, 3]),
        ("int_list", {}, "[]", []),
        ("float_list", {}, "[1, 2.5]", [1.0, 2.5]),
        ("bool_list", {}, "[true, false]", [True, False]),
        ("bool_list", {}, "[True, False]", [True, False]),
        ("string_list", {}, "[a, b]", ["a", "b"]),
        ("string_list", {}, "'a','b'", ["a", "b"]),
        ("int_tuple", {"length": 2}, "(3, 4)", (3, 4)),
        ("int_enum", {"options": [1, 2]}, "2", 2),
    ],
)
def test_text_is_parsed_by_kind(type_: str, config: dict[str, Any], text: str, value: Any) -> None:
    got = one(type_, **config).parse("p", text)
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize(
    ("type_", "text"),
    [("float", "abc"), ("int", "2.5"), ("bool", "maybe"), ("int_list", "1,x"), ("int", "none")],
)
def test_text_that_names_no_value_is_refused(type_: str, text: str) -> None:
    with pytest.raises(InvalidParameterError, match="'p'"):
        one(type_).parse("p", text)


def test_parsing_an_unknown_name_offers_the_nearest() -> None:
    parameters = Parameters([ParameterSpec(name="sigma", type="float", default=1.0)])
    with pytest.raises(InvalidParameterError, match="Did you mean 'sigma'"):
        parameters.parse("sigam", "2")
    assert "Did you mean 'sigma'" in (parameters.check("sigam", 2) or "")
    assert "no parameters" in (Parameters([]).check("sigma", 2) or "")


class Mode(Enum):
    FAST = "fast"
    SLOW = "slow"


class Declared(BaseModel):
    sigma: float = Field(1.0, gt=0, description="Width", json_schema_extra={"unit": "px", "step": 0.1})
    rounds: Annotated[int, Field(ge=1, le=9, multiple_of=2)] = 2
    strength: float = Field(0.5, ge=0, le=1)
    mode: Mode = Mode.SLOW
    side: Literal["left", "right"] = "left"
    radii: list[Annotated[int, Field(ge=1)]] = [1, 2]
    size: tuple[int, int] = (3, 4)
    weights: tuple[float, ...] = (1,)
    limit: Annotated[float, Field(ge=0)] | None = None
    label: str
    names: list[Literal["a", "b"]] = Field(default_factory=list)


def test_pydantic_model_becomes_parameters() -> None:
    parameters = Parameters.from_model(Declared, "d@1.0")
    by_name = {spec.name: spec for spec in parameters.specs}
    assert {n: s.type for n, s in by_name.items()} == {
        "sigma": "float", "rounds": "int_range", "strength": "float_range", "mode": "string_enum",
        "side": "string_enum", "radii": "int_list", "size": "int_tuple", "weights": "float_list", "limit": "float",
        "label": "string", "names": "string_list",
    }  # fmt: skip
    assert (by_name["sigma"].unit, by_name["sigma"].step, by_name["sigma"].min_excluded) == ("px", 0.1, True)
    assert (by_name["rounds"].min, by_name["rounds"].max, by_name["rounds"].step) == (1, 9, 2)
    assert by_name["strength"].step == 0.01
    assert by_name["limit"].optional
    assert parameters.is_required("label")
    values = parameters.validate({"label": "x"})
    assert values["mode"] == "slow"
    assert values["size"] == (3, 4)
    assert values["weights"] == [1.0]
    for name, bad in {
        "sigma": 0,
        "rounds": 3,
        "radii": [0],
        "limit": -1,
        "names": ["c"],
        "size": (1,),
    }.items():
        assert parameters.check(name, bad), name


def test_model_fields_that_cannot_be_parameters_are_named() -> None:
    class Bad(BaseModel):
        a: dict[str, int] = {}
        b: int | str = 1
        c: list = []  # type: ignore[type-arg]
        d: str = Field("x", max_length=3)
        e: tuple[int, str] = (1, "a")
        f: int = "text"  # type: ignore[assignment]
        g: Literal["a", 1] = 1
        h: list[list[int]] = []

    with pytest.raises(InvalidAlgorithmError) as caught:
        Parameters.from_model(Bad)
    assert len(caught.value.problems) == 8
    for name, problem in zip("abcdefgh", caught.value.problems, strict=True):
        assert f"'{name}'" in problem


def test_validators_of_a_model_are_announced_as_not_asked() -> None:
    from workbench.algorithms.from_model import read_model

    class Checked(BaseModel):
        a: int = Field(1, description="d")

        @field_validator("a")
        @classmethod
        def odd(cls, value: int) -> int:
            return value

    findings = Findings()
    read_model(Checked, findings)
    assert any("validators of Checked" in w for w in findings.warnings)


def test_table_reads_well() -> None:
    text = repr(Parameters.from_model(Declared))
    assert "greater than 0.0, step 0.1" in text
    assert "required" in text
    assert "int_tuple of 2" in text
    assert "<table>" in Parameters.from_model(Declared)._repr_html_()


def test_signature_has_defaults_and_leaves_keywords_out() -> None:
    specs = [
        ParameterSpec(name="sigma", type="float", default=1.0),
        ParameterSpec(name="lambda", type="int", default=1),
    ]
    [argument] = Parameters(specs).signature()
    assert (argument.name, argument.default) == ("sigma", 1.0)
