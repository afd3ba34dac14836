"""Schemas: what they take, what they refuse, and how they say it."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from workbench import schemas
from workbench.errors import InvalidDataError, NotFoundError
from workbench.schemas import (
    AlignmentSchema,
    DataSchema,
    EmbeddingSchema,
    GenericSchema,
    ImageSchema,
    MeshSchema,
    SegmentationSchema,
    VolumeSchema,
    validate,
)

Z = np.zeros


class Fit(DataSchema):
    """A nested part of a user's schema."""

    residuals: np.ndarray | None = None
    rounds: int = 0


class SpectrumSchema(DataSchema):
    """A user's schema."""

    counts: np.ndarray
    peaks: list[np.ndarray] = []
    fit: Fit | None = None
    detector: str | None = None
    is_raw: bool = False
    window: tuple[int, int] = (0, 10)
    gain: float = 1.0


@pytest.mark.parametrize(
    ("schema", "data"),
    [
        (GenericSchema, {"data": Z((2, 3, 4, 5), "c8")}),
        (ImageSchema, {"image": Z((4, 5), "u1")}),
        (ImageSchema, {"image": Z((3, 4, 5), ">u2"), "mask": Z((4, 5), bool), "points": [Z((2, 2))]}),
        (ImageSchema, {"image": Z((4, 5), "f2")}),
        (ImageSchema, {"image": Z((4, 5), "f8"), "mask": None}),
        (SegmentationSchema, {"mask": Z((2, 3, 4), "i4")}),
        (VolumeSchema, {"volume": Z((2, 3, 4), "i2"), "stats": "fine"}),
        (MeshSchema, {"vertices": Z((5, 3)), "faces": Z((7, 3), "i8")}),
        (AlignmentSchema, {"points1": [], "points2": [], "confidence": [], "transform_matrix": np.eye(3)}),
        (AlignmentSchema, {"points1": [Z(2)], "points2": [Z(2)], "confidence": [0.5]}),
        (EmbeddingSchema, {"features": Z(8, "f4")}),
        (EmbeddingSchema, {"features": Z(8), "input_size": (4, 5), "original_size": [8, 10]}),
        (SpectrumSchema, {"counts": Z(3), "fit": {"residuals": Z(3)}, "window": (1, 2), "is_raw": True}),
    ],
)
def test_what_fits_comes_back_without_what_is_none(schema: type[DataSchema], data: dict[str, Any]) -> None:
    found = validate(schema, data)
    assert {key for key, value in data.items() if value is not None} <= set(found)
    assert None not in [type(v) for v in found.values()]
    key = next(iter(data))
    assert found[key] is data[key] or isinstance(data[key], list)
    assert validate(schema.__name__, data).keys() == found.keys() if schema is not SpectrumSchema else True


@pytest.mark.parametrize(
    ("schema", "data", "key", "says"),
    [
        (ImageSchema, {"image": Z((4, 4), "i4")}, "image", r"image is int32.*use image.astype\('float32'\)"),
        (ImageSchema, {"image": Z((4, 4), bool)}, "image", r"image is bool.*image.astype\('uint8'\)"),
        (ImageSchema, {"image": Z((4, 5, 3), "u1")}, "image", r"\(4, 5, 3\).*moveaxis"),
        (ImageSchema, {"image": Z((9, 4, 5), "u1")}, "image", r"\(9, 4, 5\).*VolumeSchema"),
        (ImageSchema, {"image": Z((1, 1, 4, 5), "u1")}, "image", "squeeze"),
        (ImageSchema, {"image": [[1]]}, "image", "image is a list of 1.*asarray"),
        (ImageSchema, {"image": Z((4, 4)), "points": [1]}, "points", "points/0 is int 1"),
        (ImageSchema, {}, "image", "image is missing"),
        (ImageSchema, {"imag": Z((4, 4))}, "imag", "imag is not a key of ImageSchema.*Did you mean 'image'"),
        (VolumeSchema, {"volume": Z((4, 4))}, "volume", "numpy.newaxis"),
        (
            MeshSchema,
            {"vertices": Z((5, 3), "f4"), "faces": Z((7, 3), "i8")},
            "vertices",
            "float32.*'float64'",
        ),
        (MeshSchema, {"vertices": Z((5, 3)), "faces": Z((7, 3), "i4")}, "faces", "int32.*'int64'"),
        (MeshSchema, {"vertices": Z((5, 2)), "faces": Z((7, 3), "i8")}, "vertices", r"\(5, 2\)"),
        (SpectrumSchema, {"counts": Z(3), "fit": {"residuals": 3}}, "fit", "fit/residuals is int 3"),
        (SpectrumSchema, {"counts": Z(3), "is_raw": "maybe"}, "is_raw", "is_raw is str 'maybe'.*boolean"),
        (SpectrumSchema, [1], None, "list of 1, expected a dict"),
        (int, {}, None, "subclass of DataSchema"),
    ],
)
def test_what_does_not_fit_is_refused_with_key_and_fix(
    schema: Any, data: Any, key: str | None, says: str
) -> None:
    with pytest.raises(InvalidDataError, match=says) as caught:
        validate(schema, data)
    assert caught.value.key == key


def test_nested_models_become_plain_dicts() -> None:
    found = validate(SpectrumSchema, {"counts": Z(3), "fit": Fit(residuals=Z(2), rounds=3)})
    assert type(found["fit"]) is dict
    assert found["fit"]["rounds"] == 3


def test_no_schema_and_the_base_accept_any_keys() -> None:
    data = {"a": 1, "b": None, "c": {"d": Z(2)}}
    assert set(validate(None, data)) == set(validate(DataSchema, data)) == {"a", "c"}


def test_keys_that_were_not_read_may_be_absent() -> None:
    assert set(validate(MeshSchema, {"vertices": Z((5, 3))}, ("vertices",))) == {"vertices"}
    with pytest.raises(InvalidDataError, match="float32"):
        validate(MeshSchema, {"vertices": Z((5, 3), "f4")}, ("vertices",))
    with pytest.raises(InvalidDataError, match="faces is missing"):
        validate(MeshSchema, {"vertices": Z((5, 3))}, ("vertices", "faces"))


def test_schemas_are_found_by_name() -> None:
    assert schemas.by_name("ImageSchema") is ImageSchema
    with pytest.raises(NotFoundError, match="Did you mean 'ImageSchema'"):
        schemas.by_name("ImageShema")


def test_the_models_say_the_same_as_validate() -> None:
    with pytest.raises(ValueError, match="is int32, expected uint8"):
        ImageSchema(image=Z((4, 4), "i4"))


def test_importing_schemas_loads_neither_h5py_nor_torch() -> None:
    code = "import sys, workbench.schemas; assert not {'h5py', 'torch', 'sqlalchemy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
