"""Inputs of a run: ids, names, Datasets, files and arrays become dataset ids."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import InvalidDataError, InvalidInputError, NotFoundError
from workbench.library.input_folders import KEY, SOURCE, named
from workbench.library.reading import note
from workbench.models import AlgorithmType
from workbench.names import is_id

if TYPE_CHECKING:
    from workbench.library.bundle import Bundle
    from workbench.library.dataset import Dataset
    from workbench.library.datasets import Datasets

Item = Any  # an id or name, a Dataset, a Bundle, a path, an array, or a dict of arrays


@dataclass(frozen=True, slots=True)
class _New:
    """A dataset to be stored for the run."""

    data: Mapping[str, Any]
    parents: tuple[str, ...] = ()  # the dataset it is a slice of, or that a bundle was made from
    source: str | None = None  # the file it was read from, or the bundle
    run_id: str | None = None  # the run that a bundle was made from

    @property
    def origin(self) -> tuple[tuple[str, ...], str | None, str | None]:
        """Where it comes from."""
        return self.parents, self.source, self.run_id

    def comes_as(self, stored: Dataset) -> bool:
        """Tell whether a stored dataset may stand for this one: where this one comes from must not be lost."""
        record = stored.record
        return (
            (not self.parents or record.parents == self.parents)
            and (self.source is None or record.source == self.source)
            and (self.run_id is None or record.run_id == self.run_id)
        )


class Inputs:
    """The inputs of a run, resolved and checked; arrays are stored only when `store` is called.

    An array goes under the key of the algorithm's type (``image``, ``mask``, else ``data``). For image types a 3-D array is a
    stack and is split along axis 0, one dataset per slice. An array of shape (3, H, W) inside a list is one colour image.

    Parameters
    ----------
    given : array, dict, str, Dataset, Bundle, path, or a sequence of them
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
        self._digests: list[str] | None = None
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
        if not self._items and self._schema is not None:
            raise InvalidInputError(
                f"There is no input, and an {type} algorithm reads at least one. Pass an array, a dataset's id or name, "
                "or a file, as the first argument."
            )

    def __len__(self) -> int:
        return len(self._items)

    def digests(self) -> list[str]:
        """Return the digest of each input, in their order; arrays that are not stored yet are hashed, once."""
        if self._digests is None:
            # An array that is read-only and carries its digest, as those of a session may, would be asked for it here.
            new = [item.data for item in self._items if isinstance(item, _New)]
            hashed = iter(self._datasets.digests(new, self._schema))
            self._digests = [next(hashed) if isinstance(item, _New) else item.digest for item in self._items]
        return self._digests

    def take(self, ids: Sequence[str]) -> None:
        """Take the inputs of a run, which have the same digests, for what is new; those that are gone are stored again."""
        if not any(isinstance(item, _New) for item in self._items):
            return
        found = {dataset.id: dataset for dataset in self._datasets.find_many(ids)}
        self._items = [
            found[id] if isinstance(item, _New) and id in found and item.comes_as(found[id]) else item
            for item, id in zip(self._items, ids, strict=True)
        ]

    def take_stored(self) -> None:
        """Take datasets that hold the content of new arrays already, so that it is not written again."""
        for position, (item, digest) in enumerate(zip(self._items, self.digests(), strict=True)):
            if isinstance(item, _New):
                stored = self._datasets.with_digest(digest)
                if stored is not None and item.comes_as(stored):
                    self._items[position] = stored

    def shown(self) -> list[str]:
        """Return what each input is, in a few words."""
        return [
            item.source
            if isinstance(item, _New) and KEY in item.data and item.source
            else ", ".join(f"{shape_text(value)} {key}" for key, value in item.data.items())
            if isinstance(item, _New)
            else item.name or item.id
            for item in self._items
        ]

    def store(self) -> list[str]:
        """Store what is new and return the ids of all inputs in their order."""
        ids: list[str] = []
        digests: list[str] = []
        for kind, group in groupby(self._items, lambda i: i.origin if isinstance(i, _New) else None):
            items = list(group)
            if kind is None:
                ids += [item.id for item in items if not isinstance(item, _New)]
                digests += [item.digest for item in items if not isinstance(item, _New)]
                continue
            parents, source, run_id = kind
            stored = self._datasets.put_many(
                [item.data for item in items if isinstance(item, _New)],
                schema=self._schema,
                parents=parents,
                source=source,
                run_id=run_id,
                parallel=len(items) > 1,
            )
            ids += [dataset.id for dataset in stored]
            digests += [dataset.digest for dataset in stored]
        self._digests = digests
        note(ids)
        return ids

    def _add(self, item: Item, what: str, *, in_list: bool) -> None:
        from workbench.library.bundle import Bundle
        from workbench.library.dataset import Dataset

        if isinstance(item, Bundle):
            self._add_bundle(item, what)
        elif hasattr(item, "record") and hasattr(item, "outputs"):  # a Run: what it has put out
            self._add_run(item, what)
        elif isinstance(item, (str, Dataset)):
            try:
                dataset = self._datasets.find(item)
            except NotFoundError:
                if not (isinstance(item, str) and Path(item).is_file()):
                    raise
                self._add_file(Path(item))
            else:
                self._add_dataset(dataset)
        elif isinstance(item, (Path, os.PathLike)):
            self._add_file(Path(item))
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

    def _add_run(self, run: Any, what: str) -> None:
        if run.status != "COMPLETED":
            raise InvalidInputError(
                f"{what} is run {run.id}, which is {run.status}. Only what a completed run has put out is an input: run.wait()."
            )
        if not run.datasets:
            raise InvalidInputError(f"{what} is run {run.id}, which has put out no dataset.")
        for dataset in run.datasets:
            self._add_dataset(dataset)

    def _add_bundle(self, bundle: Bundle, what: str) -> None:
        """Add a version of a bundle as a dataset that names its files by their contents."""
        if self._type.input_key != "data":
            raise InvalidInputError(
                f"{what} is the bundle {bundle.ref}, a folder, and an {self._type} algorithm reads a {self._type.input_key}. "
                "Folders go to algorithms of type Generic and to functions of pipelines."
            )
        parents = bundle.record.parents
        are_datasets = dict(zip(parents, self._datasets.exist(parents), strict=True))
        runs = [id for id, is_dataset in are_datasets.items() if not is_dataset and is_id(id)]
        self._items.append(
            _New(
                named(bundle.contents),
                parents=tuple(id for id, is_dataset in are_datasets.items() if is_dataset),
                source=f"{SOURCE}{bundle.ref}",
                run_id=runs[0] if len(runs) == 1 else None,
            )
        )

    def _add_file(self, path: Path) -> None:
        from workbench.library.importers import Content, load

        key = self._type.input_key
        found = load(path, as_slices=key != "data", key=key)
        contents = [found] if isinstance(found, Content) else found
        self._items += [_New(content.data, source=str(path)) for content in contents]

    def _add_dataset(self, dataset: Dataset) -> None:
        """Add a dataset that holds what an algorithm of this type reads; a stack is taken apart into its slices."""
        key = self._type.input_key
        if key == "data":  # generic algorithms say in their code what they read
            self._items.append(dataset)
            return
        what = f"Dataset {dataset.name or dataset.id!r}"
        found = key if key in dataset.keys else "volume" if key == "image" else key
        info = dataset.keys.get(found)
        if info is None:
            held = ", ".join(f"{k!r} {i.shape} {i.dtype}" for k, i in dataset.keys.items())
            raise InvalidDataError(
                f"{what} has no key {key!r}, which an {self._type} algorithm reads; it has {held}. "
                f"Pass its array instead: ws.datasets.find({dataset.id!r}).array.",
                key=key,
            )
        if key == "image":
            import numpy as np

            from workbench.schemas import image_problem

            is_stack = (
                len(info.shape) == 3 and (found == "volume" or info.shape[0] != 3) and info.shape[2] > 4
            )
            problem = image_problem(info.shape[1:] if is_stack else info.shape, np.dtype(info.dtype))
            if problem:
                raise InvalidDataError(f"{what}: {found!r} {problem}.", key=found)
            if is_stack:
                self._items += [_New({key: plane}, parents=(dataset.id,)) for plane in dataset[found]]
                return
        self._items.append(dataset)

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
            if shape[2] in {3, 4} and min(shape[:2]) > 4:
                raise InvalidDataError(
                    f"{what} has shape {shape}: a colour picture with its channels last, or slices {shape[2]} px wide. "
                    "Colour comes first and in a list: [numpy.moveaxis(image[..., :3], -1, 0)].",
                    key=key,
                )
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


def shape_text(value: Any) -> str:
    """Return shape and dtype of an array: ``64 x 64 float32``; the type of anything else."""
    shape = getattr(value, "shape", None)
    if not shape:
        return type(value).__name__
    return f"{' x '.join(map(str, shape))} {str(getattr(value, 'dtype', '')).removeprefix('torch.')}"
