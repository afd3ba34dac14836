"""What a dataset may hold: schemas, checked when data is written and when it is read.

Subclass `DataSchema` for data of your own; every annotation pydantic knows works, and ``numpy.ndarray``::

    class SpectrumSchema(DataSchema):
        counts: np.ndarray
        energy_eV: np.ndarray
        detector: str | None = None
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, NoReturn

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, field_validator

from workbench.errors import InvalidDataError, NotFoundError, did_you_mean, nearest

IMAGE_DTYPES = ("uint8", "uint16", "float16", "float32", "float64")


class DataSchema(BaseModel):
    """Base of all schemas. Used itself, it accepts any keys."""

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")


class GenericSchema(DataSchema):
    """Any one array.

    Attributes
    ----------
    data : ndarray
    """

    data: np.ndarray


def image_problem(shape: tuple[int, ...], dtype: np.dtype[Any]) -> str | None:
    """Return why an array of this shape and dtype is no image, and what to do; None if it is one."""
    if 0 in shape:
        return f"has shape {shape}: it is empty; check how it was cut or loaded"
    if len(shape) == 3 and shape[0] != 3:
        if shape[2] in {3, 4}:
            fix = "colour comes first: use numpy.moveaxis(image[..., :3], -1, 0)"
        else:
            fix = "for a stack use VolumeSchema with key 'volume'"
        return f"has shape {shape}, expected (H, W) or (3, H, W); {fix}"
    if len(shape) not in {2, 3}:
        is_squeezable = sum(n != 1 for n in shape) == 2
        fix = "use image.squeeze()" if is_squeezable else "use GenericSchema with key 'data'"
        return f"has shape {shape}, expected (H, W) or (3, H, W); {fix}"
    if dtype.newbyteorder("=").name not in IMAGE_DTYPES:
        to = "uint8" if dtype.kind == "b" else "float32"
        return f"is {dtype}, expected {', '.join(IMAGE_DTYPES[:-1])} or {IMAGE_DTYPES[-1]}; use image.astype('{to}')"
    return None


class ImageSchema(DataSchema):
    """One image.

    Attributes
    ----------
    image : ndarray, shape (H, W) or (3, H, W), uint8, uint16, float16, float32 or float64
    mask : ndarray, optional
    points : list of ndarray, optional
    """

    image: np.ndarray
    mask: np.ndarray | None = None
    points: list[np.ndarray] | None = None

    @field_validator("image")
    @classmethod
    def _image(cls, value: np.ndarray) -> np.ndarray:
        problem = image_problem(value.shape, value.dtype)
        if problem:
            raise ValueError(problem)
        return value


class SegmentationSchema(DataSchema):
    """One mask or label image.

    Attributes
    ----------
    mask : ndarray
    """

    mask: np.ndarray


class VolumeSchema(DataSchema):
    """One volume.

    Attributes
    ----------
    volume : ndarray, shape (Z, Y, X)
    mask : ndarray, optional
    points : list of ndarray, optional
    stats : str, optional
    """

    volume: np.ndarray
    mask: np.ndarray | None = None
    points: list[np.ndarray] | None = None
    stats: str | None = None

    @field_validator("volume")
    @classmethod
    def _volume(cls, value: np.ndarray) -> np.ndarray:
        if value.ndim != 3:
            fix = "use volume[numpy.newaxis]" if value.ndim == 2 else "use GenericSchema with key 'data'"
            raise ValueError(f"has shape {value.shape}, expected 3 axes (Z, Y, X); {fix}")
        return value


class MeshSchema(DataSchema):
    """A triangle mesh.

    Attributes
    ----------
    vertices : ndarray, shape (N, 3), float64
    faces : ndarray, shape (M, 3), int64
        Rows of indices into ``vertices``.
    stats : str, optional
    """

    vertices: np.ndarray
    faces: np.ndarray
    stats: str | None = None

    @field_validator("vertices")
    @classmethod
    def _vertices(cls, value: np.ndarray) -> np.ndarray:
        return _check_triples(value, "vertices", "float64")

    @field_validator("faces")
    @classmethod
    def _faces(cls, value: np.ndarray) -> np.ndarray:
        return _check_triples(value, "faces", "int64")


def _check_triples(value: np.ndarray, name: str, dtype: str) -> np.ndarray:
    if value.ndim != 2 or value.shape[1] != 3:
        raise ValueError(
            f"has shape {value.shape}, expected (N, 3); use {name}.reshape(-1, 3) if the order is right"
        )
    if value.dtype.newbyteorder("=").name != dtype:
        raise ValueError(f"is {value.dtype}, expected {dtype}; use {name}.astype('{dtype}')")
    return value


class AlignmentSchema(DataSchema):
    """How one image lies on the next.

    Attributes
    ----------
    points1, points2 : list of ndarray
        Matched points in both images.
    confidence : list of ndarray or float
    transform_matrix, translation_matrix : ndarray, optional
    """

    points1: list[np.ndarray]
    points2: list[np.ndarray]
    confidence: list[Any]
    transform_matrix: np.ndarray | None = None
    translation_matrix: np.ndarray | None = None


def _as_tuple(value: Any) -> Any:
    return tuple(value.tolist()) if isinstance(value, np.ndarray) and value.ndim == 1 else value


Size = Annotated[tuple[Any, ...], BeforeValidator(_as_tuple)]


class EmbeddingSchema(DataSchema):
    """Features of one image.

    Attributes
    ----------
    features : ndarray
    input_size, original_size : tuple of int, optional
        Size of the image as the network saw it, and as it was, in pixels.
    """

    features: np.ndarray
    input_size: Size | None = None
    original_size: Size | None = None


_BY_NAME: dict[str, type[DataSchema]] = {
    schema.__name__: schema
    for schema in (
        DataSchema,
        GenericSchema,
        ImageSchema,
        SegmentationSchema,
        VolumeSchema,
        MeshSchema,
        AlignmentSchema,
        EmbeddingSchema,
    )
}


def by_name(name: str) -> type[DataSchema]:
    """Return the schema of this name.

    Raises
    ------
    NotFoundError
        If it is none of this module's; a schema of your own is passed as the class.
    """
    if name not in _BY_NAME:
        raise NotFoundError(
            f"There is no schema {name!r}.{did_you_mean(name, _BY_NAME)} Known: {', '.join(_BY_NAME)}. "
            "Pass a schema of your own as the class.",
            near=nearest(name, _BY_NAME),
        )
    return _BY_NAME[name]


def validate(
    schema: type[DataSchema] | str | None, data: Mapping[str, Any], keys: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Check data against a schema and return it as plain dicts, lists and arrays, without what is None.

    Parameters
    ----------
    schema : DataSchema class or name, optional
        None and DataSchema itself accept any keys.
    data : mapping
        Key to value.
    keys : tuple of str
        Only these were read: others may be absent.

    Raises
    ------
    InvalidDataError
        With the first offending key, what came, what was expected and what to do.
    """
    schema = by_name(schema) if isinstance(schema, str) else schema
    if not isinstance(data, Mapping):
        raise InvalidDataError(
            f"Data is {_shown(data)}, expected a dict of named arrays. Pass {{'image': array}}.", key=None
        )
    if schema is None or schema is DataSchema:
        return {key: _plain(value) for key, value in data.items() if value is not None}
    if not (isinstance(schema, type) and issubclass(schema, DataSchema)):
        raise InvalidDataError(f"schema is {schema!r}, expected a subclass of DataSchema or its name.")
    try:
        model = schema.model_validate(dict(data))
    except ValidationError as error:
        problems = [
            e for e in error.errors() if not (keys and e["type"] == "missing" and e["loc"][0] not in keys)
        ]
        if problems:
            _refuse(schema, data, min(problems, key=lambda e: e["type"] != "extra_forbidden"))
        return {key: _plain(value) for key, value in data.items() if value is not None}
    values = {key: getattr(model, key) for key in schema.model_fields if keys == () or key in keys}
    return {key: _plain(value) for key, value in values.items() if value is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return {key: _plain(getattr(value, key)) for key in type(value).model_fields}
    if type(value) in {list, tuple}:
        return type(value)(_plain(item) for item in value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _refuse(schema: type[DataSchema], data: Mapping[str, Any], problem: Any) -> NoReturn:
    key = "/".join(str(part) for part in problem["loc"])
    top = str(problem["loc"][0]) if problem["loc"] else ""
    value, name, kind = problem.get("input"), schema.__name__, problem["type"]
    fields = ", ".join(
        f if info.is_required() else f"{f} (optional)" for f, info in schema.model_fields.items()
    )
    if kind == "missing":
        message = f"{key} is missing; {name} has {fields}. Given: {', '.join(map(str, data)) or 'nothing'}."
    elif kind == "extra_forbidden":
        hint = did_you_mean(top, schema.model_fields)
        message = f"{key} is not a key of {name}, which has {fields}.{hint or ' Leave it out, or put without schema.'}"
    elif kind == "value_error":
        message = f"{key} {problem['ctx']['error']}. Schema: {name}."
    elif kind == "is_instance_of" and "ndarray" in str(problem.get("ctx")):
        message = f"{key} is {_shown(value)}, expected an array; use numpy.asarray(...). Schema: {name}."
    else:
        text = problem["msg"].removeprefix("Input ").replace("should be", "expected")
        message = f"{key} is {_shown(value)}, {text}. Mend it, or put without schema. Schema: {name}."
    raise InvalidDataError(message, key=top or None)


def _shown(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}, {value.dtype}"
    if isinstance(value, (list, tuple, dict)):
        return f"a {type(value).__name__} of {len(value)}"
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) < 60 else text[:57] + '…'}"
