"""What travels along the edges of a pipeline: how a value is kept, found again, and handed to who reads it."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Any

from workbench.errors import InvalidDataError, InvalidInputError
from workbench.execution.reuse import digest_of
from workbench.execution.run import value_of
from workbench.library.frame_columns import NotKeptError
from workbench.library.frames import KEY as FRAME
from workbench.library.frames import frames_as_data, is_frame, with_frames
from workbench.library.input_folders import is_folder
from workbench.models import OutputRef, RunRecord

if TYPE_CHECKING:
    from workbench.library.dataset import Dataset
    from workbench.library.datasets import Datasets


class _Nothing(Enum):
    """No value; the same in every process."""

    NOTHING = 0


NOTHING: Any = _Nothing.NOTHING
_DEEPEST, _TOO_DEEP = 20, "value that is nested too deeply"
LONGEST_PLAIN = 16 << 10  # characters of JSON: what is longer becomes a dataset
COPIED = 1 << 20  # bytes: a larger array that several nodes read is mapped by each


@dataclass(slots=True)
class Value:
    """A value on an edge.

    Parameters
    ----------
    refs : tuple of OutputRef
        How it is kept.
    held : object
        The value itself, where this process has it.
    sources : tuple of str
        The datasets that it is, or was computed from.
    digest : str
        Of its content; empty if nobody can tell, so that what reads it is computed each time.
    by_key : dict
        Of an input of the pipeline: the datasets that algorithms read it as, by the key that they read.
    datasets : tuple of Dataset
        Those that it is, where this process has looked them up.
    run : str
        The run that computed it; empty for an input of the pipeline.
    """

    refs: tuple[OutputRef, ...] = ()
    held: Any = NOTHING
    sources: tuple[str, ...] = ()
    digest: str = ""
    by_key: dict[str, list[Dataset]] = field(default_factory=dict)
    datasets: tuple[Dataset, ...] = ()
    run: str = ""

    @property
    def gives_away_its_run(self) -> bool:
        """Tell whether all that it is are datasets that name the run that computed it."""
        return bool(self.datasets) and all(dataset.record.run_id == self.run for dataset in self.datasets)

    @property
    def is_kept(self) -> bool:
        """Tell whether it can be had again without computing it."""
        return bool(self.refs) and not any(ref.held for ref in self.refs)

    def without_object(self) -> Value:
        """Return it as another process can take it: kept values are read there."""
        return replace(self, held=NOTHING if self.is_kept else self.held, by_key={}, datasets=())


class Values:
    """Keeps and loads values.

    Parameters
    ----------
    datasets : Datasets
    """

    def __init__(self, datasets: Datasets) -> None:
        self._datasets = datasets

    def keep(
        self,
        name: str,
        value: Any,
        *,
        run_id: str | None,
        parents: Sequence[str],
        key: str = "data",
        takes_stored: bool = False,
    ) -> Value:
        """Keep what a function gave: small plain values in the record, arrays, what is made of them, and DataFrames as a dataset.

        Parameters
        ----------
        name : str
            Of the output.
        value : object
            What can be kept neither way is held by this process only.
        run_id : str or None
            The run that made it.
        parents : sequence of str
            The datasets it was computed from.
        key : str
            Under which an array is kept.
        takes_stored : bool
            Whether a dataset of equal content stands for it.
        """
        run = run_id or ""
        if is_plain(value):
            ref = OutputRef(name=name, value=value, is_value=True)
            return Value((ref,), value, tuple(parents), digest_of(["plain", value]), run=run)
        given = _datasets_in(value)
        if given:
            refs = tuple(OutputRef(dataset=dataset.id, name=name) for dataset in given)
            return Value(refs, NOTHING, tuple(d.id for d in given), _digest_of_datasets(given), run=run)
        is_dict = type(value) is dict and bool(value)
        tree, held = _data_of(value, key)
        try:
            stored = self._datasets.with_digest(self._datasets.digests([tree])[0]) if takes_stored else None
            dataset = stored or self._datasets.put(tree, run_id=run_id, parents=parents)
        except (InvalidDataError, RecursionError):  # a list may hold itself
            ref = OutputRef(name=name, held=held or type(value).__name__)
            return Value((ref,), value, tuple(parents), run=run)
        ref = OutputRef(dataset=dataset.id, name=name, is_dict=is_dict, held=held)
        digest = digest_of(["datasets", [dataset.digest], is_dict])
        mine = value if held else as_kept(value)
        return Value((ref,), mine, (dataset.id,), digest, datasets=(dataset,), run=run)

    def digest_of(self, value: Any, key: str = "data") -> str:
        """Return the digest that a value has once it is kept, and keep nothing; empty for what can be kept neither way."""
        if is_plain(value):
            return digest_of(["plain", value])
        given = _datasets_in(value)
        if given:
            return _digest_of_datasets(given)
        is_dict = type(value) is dict and bool(value)
        try:
            return digest_of(
                [
                    "datasets",
                    self._datasets.digests([_data_of(value, key)[0]]),
                    is_dict,
                ]
            )
        except (InvalidDataError, RecursionError):
            return ""

    def found(self, refs: Sequence[OutputRef], parents: Sequence[str], *, name: str = "") -> Value:
        """Return a value that was kept; an algorithm's outputs get the name of what they are in the pipeline."""
        named = tuple(ref.model_copy(update={"name": name}) if name else ref for ref in refs)
        ids = [ref.dataset for ref in named if ref.dataset]
        datasets = self._datasets.find_many(ids)
        if len(named) == 1 and named[0].is_value:
            return Value(named, named[0].value, tuple(parents), digest_of(["plain", named[0].value]))
        digest = _digest_of_datasets(datasets, any(ref.is_dict for ref in named))
        if any(ref.held and ref.dataset is None for ref in named):
            digest = ""
        elif any(ref.dataset is None for ref in named):  # texts among the outputs of an algorithm
            digest = digest_of([digest, [ref.text for ref in named]])
        return Value(named, NOTHING, tuple(ids) or tuple(parents), digest, datasets=tuple(datasets))

    def recorded(self, record: RunRecord, outputs: Sequence[str]) -> tuple[Value, ...]:
        """Return what a completed run gave, one value under the name of each output of its node; nothing if it gave another number."""
        groups: list[list[OutputRef]] = [[ref] for ref in record.outputs]
        if record.call:
            names = dict.fromkeys(ref.name for ref in record.outputs)
            groups = [[ref for ref in record.outputs if ref.name == name] for name in names]
        elif len(outputs) == 1:
            groups = [list(record.outputs)]
        if len(groups) != len(outputs):
            return ()
        run = record.reused_from or record.id
        return tuple(
            replace(self.found(refs, record.inputs, name=name), run=run)
            for refs, name in zip(groups, outputs, strict=True)
        )

    def load(self, value: Value, *, is_shared: bool) -> Any:
        """Return the value for who reads it.

        Parameters
        ----------
        value : Value
        is_shared : bool
            Whether others read it too: each then gets its own, so that what one writes to it stays its own.
        """
        if value.held is NOTHING:
            return self._read(value)
        if not is_shared:
            return value.held
        if is_frame(value.held):
            return value.held.copy() if value.is_kept else value.held
        if value.is_kept and _nbytes(value.held) > COPIED and value.refs[0].dataset:
            return self._read(value)
        return copy.deepcopy(value.held) if value.is_kept or not _inexact(value.held) else value.held

    def _read(self, value: Value) -> Any:
        """Read a value that is kept; a bundle is the path of its folder."""
        found = list(value.datasets) or self._datasets.find_many([r.dataset for r in value.refs if r.dataset])
        if len(found) == len(value.refs) == 1 and is_folder(found[0].record):
            return self._datasets.folder(found[0])
        return value_of(value.refs, lambda ref: self._datasets.get(ref.dataset or ""))

    def inputs(self, value: Value, key: str, what: str) -> list[Any]:
        """Return what an algorithm is given for a value: datasets that have the key it reads.

        Raises
        ------
        InvalidInputError
            For a value that is no data.
        """
        if key in value.by_key:
            return list(value.by_key[key])
        found = list(value.datasets) or self._datasets.find_many(
            [ref.dataset for ref in value.refs if ref.dataset]
        )
        if not found:
            shown = next((ref.held for ref in value.refs if ref.held), "") or type(value.held).__name__
            raise InvalidInputError(
                f"{what} is a {shown}, and an algorithm reads datasets. Give it an array, or use a function here."
            )
        return [self._as_key(dataset, key) for dataset in found]

    def digests_as(self, value: Value, key: str) -> list[str]:
        """Return the digests of what `inputs` gives for a kept value; nothing is stored."""
        found = self._datasets.find_many([ref.dataset for ref in value.refs if ref.dataset])
        return [
            dataset.digest if renamed is None else self._datasets.digests([renamed])[0]
            for dataset in found
            for renamed in [self._renamed(dataset, key)]
        ]

    def _as_key(self, dataset: Dataset, key: str) -> Dataset:
        """Return a dataset that has its one array under the key that is read, if it is a picture of that kind."""
        renamed = self._renamed(dataset, key)
        if renamed is None:
            return dataset
        return self._datasets.put(renamed, run_id=dataset.record.run_id, parents=[dataset.id])

    def _renamed(self, dataset: Dataset, key: str) -> dict[str, Any] | None:
        """Return the array of a dataset under another key; None where it is read as it is."""
        keys = dataset.keys
        numbers = self._numbers(dataset) if FRAME in keys else None
        if numbers is not None:
            return {_key(numbers, key): numbers}
        if key in keys or (key == "image" and "volume" in keys) or len(keys) != 1:
            return None
        [(name, info)] = keys.items()
        if info.kind != "array" or (key != "data" and len(info.shape) not in (2, 3)):
            return None
        array = self._datasets.get(dataset)[name]
        return {_key(array, key): array}

    def _numbers(self, dataset: Dataset) -> Any:
        """Return the columns of a DataFrame as one array; None if they cannot be, or for other data."""
        found = with_frames(self._datasets.get(dataset))
        array = found.to_numpy() if is_frame(found) else None
        return None if array is None or array.dtype.hasobject else array


def as_kept(value: Any) -> Any:
    """Return what is held of a value that was kept: who has it may go on writing to it, as to a buffer that is filled again.

    A small one is copied; a large one is read from its place, which maps it.
    """
    if _inexact(value):
        return value
    return copy.deepcopy(value) if _nbytes(value) <= COPIED else NOTHING


def own_copy(value: Any) -> Any:
    """Return arrays and DataFrames as they are now, for one that reads them while their owner goes on; anything else as it is."""
    return value if _inexact(value) else copy.deepcopy(value)


def is_plain(value: Any, *, longest: int = LONGEST_PLAIN) -> bool:
    """Tell whether JSON gives a value back exactly as it is, and it is small."""
    if value is None or type(value) in (bool, int, float):
        return True
    if not _is_json(value):
        return False
    try:
        return len(json.dumps(value, ensure_ascii=False).encode()) <= longest
    except (ValueError, RecursionError):  # half a surrogate pair
        return False


def sources_of(values: Iterable[Value]) -> tuple[str, ...]:
    """Return the datasets that values are, or were computed from."""
    return tuple(dict.fromkeys(id for value in values for id in value.sources))


def _is_json(value: Any, depth: int = 0) -> bool:
    if value is None or type(value) in (bool, int, float, str):
        return True
    if depth > 20:
        return False
    if type(value) is list:
        return len(value) <= 1000 and all(_is_json(member, depth + 1) for member in value)
    if type(value) is dict:
        return len(value) <= 1000 and all(
            type(k) is str and _is_json(member, depth + 1) for k, member in value.items()
        )
    return False


def _data_of(value: Any, key: str) -> tuple[Any, str]:
    """Return the data of a dataset for a value, and what it is if that would not give it back as it is."""
    data, held = value, _inexact(value)
    if not held:
        try:
            data = frames_as_data(value)
        except NotKeptError as error:
            held = (
                f"DataFrame {error}"
                if is_frame(value)
                else f"{type(value).__name__} with a DataFrame {error}"
            )
    is_tree = (is_frame(value) and not held) or (type(value) is dict and bool(value))
    return (data if is_tree else {_key(value, key): data}), held


def _inexact(value: Any, depth: int = 0) -> str:
    """Return what a dataset would not give back as it is; nothing for arrays of numpy, plain values, DataFrames, and lists and dicts of them."""
    import numpy as np

    if type(value) is np.ndarray:
        return "ndarray of objects" if value.dtype.hasobject else ""
    if (
        isinstance(value, np.generic)
        or type(value) in (bool, int, float, complex, str, bytes)
        or is_frame(value)
    ):
        return ""
    kind = type(value).__name__
    if depth > _DEEPEST:
        return _TOO_DEEP
    if type(value) in (list, tuple):
        found = next(filter(None, (_inexact(m, depth + 1) for m in value if m is not None)), "")
    elif type(value) is dict:
        keys = (f"key that no dataset can have, {key!r}" for key in value if not _is_key(key))
        found = next(filter(None, [*keys, *(_inexact(m, depth + 1) for m in value.values())]), "")
    else:
        return kind
    return f"{kind} with a {found}" if found not in ("", _TOO_DEEP) else found


def _is_key(key: Any) -> bool:
    return type(key) is str and key not in ("", ".") and not {"/", "\0"} & set(key)


def _datasets_in(value: Any) -> list[Dataset]:
    """Return the datasets that a function has given back itself."""
    from workbench.library.dataset import Dataset

    if isinstance(value, Dataset):
        return [value]
    if isinstance(value, list) and value and all(isinstance(member, Dataset) for member in value):
        return list(value)
    return []


def _digest_of_datasets(datasets: Sequence[Dataset], is_dict: bool = False) -> str:
    return digest_of(["datasets", [dataset.digest for dataset in datasets], is_dict])


def _key(value: Any, key: str) -> str:
    """Return the key for an array: what is no picture is ``data``, a stack of images is a volume."""
    shape: tuple[int, ...] = getattr(value, "shape", ())
    if key == "data" or len(shape) not in (2, 3):
        return "data"
    return "volume" if key == "image" and len(shape) == 3 and shape[0] != 3 else key


def _nbytes(value: Any) -> int:
    if isinstance(value, (list, tuple)):
        return sum(map(_nbytes, value))
    if isinstance(value, dict):
        return sum(map(_nbytes, value.values()))
    return int(getattr(value, "nbytes", 0) or 0)
