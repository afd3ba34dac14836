"""Inputs of a run: ids, names, Datasets, files and arrays become dataset ids."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import InvalidDataError, InvalidInputError
from workbench.models import AlgorithmType

if TYPE_CHECKING:
    from workbench.library.dataset import Dataset
    from workbench.library.datasets import Datasets

Item = Any  # an id or name, a Dataset, a path, an array, or a dict of arrays


@dataclass(frozen=True, slots=True)
class _New:
    """A dataset to be stored for the run."""

    data: Mapping[str, Any]


class Inputs:
    """The inputs of a run, resolved and checked; arrays are stored only when `store` is called.

    An array goes under the key of the algorithm's type (``image``, ``mask``, else ``data``). For image types a 3-D array is a
    stack and is split along axis 0, one dataset per slice. An array of shape (3, H, W) inside a list is one colour image.

    Parameters
    ----------
    given : array, dict, str, Dataset, path, or a sequence of them
    type : AlgorithmType
    datasets : Datasets

    Raises
    ------
    NotFoundError
        For an id or name that is not there.
    InvalidDataError, InvalidInputError
        For something that is no input, or an array that does not fit the algorithm's type.
    """

    def __init__(self, given: Any, type: AlgorithmType, datasets: Datasets) -> None:
        self._type = type
        self._datasets = datasets
        self._items: list[Dataset | _New] = []
        if isinstance(given, (list, tuple)):
            for position, item in enumerate(given):
                self._add(item, f"Input {position}", in_list=isinstance(given, list))
        elif given is not None:
            self._add(given, "The input", in_list=False)
        self._schema = _schema_of(type)
        new = [item.data for item in self._items if isinstance(item, _New)]
        if new:
            datasets.check_many(new, self._schema)

    def __len__(self) -> int:
        return len(self._items)

    def store(self) -> list[str]:
        """Store the arrays and return the ids of all inputs in their order."""
        new = [item.data for item in self._items if isinstance(item, _New)]
        stored = iter(self._datasets.put_many(new, schema=self._schema, parallel=len(new) > 1) if new else [])
        return [next(stored).id if isinstance(item, _New) else item.id for item in self._items]

    def _add(self, item: Item, what: str, *, in_list: bool) -> None:
        from workbench.library.dataset import Dataset

        if isinstance(item, (str, Dataset)):
            self._items.append(self._fitting(self._datasets.find(item)))
        elif isinstance(item, (Path, os.PathLike)):
            as_slices = self._type.input_key != "data"
            found = self._datasets.import_file(Path(item), as_slices=as_slices)
            self._items += [
                self._fitting(dataset) for dataset in (found if isinstance(found, list) else [found])
            ]
        elif isinstance(item, Mapping):
            self._items.append(_New(dict(item)))
        elif isinstance(item, (list, tuple)):
            if not item:
                raise InvalidInputError(f"{what} is an empty list. Pass an array, a dataset id or a Dataset.")
            for inner in item:
                self._add(inner, what, in_list=True)
        elif hasattr(item, "shape") and hasattr(item, "dtype"):
            self._add_array(item, what, in_list=in_list)
        else:
            raise InvalidInputError(
                f"{what} is a {type(item).__name__}, expected an array, a dataset id or name, a Dataset or a path. "
                "Convert it first, for example with numpy.asarray(value)."
            )

    def _fitting(self, dataset: Dataset) -> Dataset:
        """Return the dataset if it holds what an algorithm of this type reads; only its description is looked at."""
        key = self._type.input_key
        if key == "data":  # generic algorithms say in their code what they read
            return dataset
        info = dataset.keys.get(key)
        what = f"Dataset {dataset.name or dataset.id!r}"
        if info is None:
            held = ", ".join(f"{k!r} {i.shape} {i.dtype}" for k, i in dataset.keys.items())
            raise InvalidDataError(
                f"{what} has no key {key!r}, which an {self._type} algorithm reads; it has {held}. "
                f"Pass its array instead: ws.datasets.find({dataset.id!r}).array; a stack is split into slices.",
                key=key,
            )
        if key == "image":
            import numpy as np

            from workbench.schemas import image_problem

            problem = image_problem(info.shape, np.dtype(info.dtype))
            if problem:
                raise InvalidDataError(f"{what}: {key!r} {problem}.", key=key)
        return dataset

    def _add_array(self, array: Any, what: str, *, in_list: bool) -> None:
        key = self._type.input_key
        if key == "data":
            self._items.append(_New({key: array}))
            return
        shape = tuple(array.shape)
        is_colour = in_list and len(shape) == 3 and shape[0] == 3
        if len(shape) == 2 or is_colour:
            self._items.append(_New({key: array}))
        elif len(shape) == 3:
            if shape[0] == 0:
                raise InvalidDataError(f"{what} has shape {shape}: a stack of no slices.", key=key)
            self._items += [_New({key: array[i]}) for i in range(shape[0])]
        else:
            raise InvalidDataError(
                f"{what} has shape {shape}; an {self._type} algorithm reads 2-D images or a 3-D stack of slices. "
                "Pass one slice or stack; colour images (3, H, W) in a list.",
                key=key,
            )


def _schema_of(type: AlgorithmType) -> Any:
    from workbench import schemas

    return {"image": schemas.ImageSchema, "mask": schemas.SegmentationSchema}.get(type.input_key)
