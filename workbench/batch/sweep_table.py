"""The results of a sweep as one table: rows, a DataFrame, CSV, Parquet."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.batch.places import check_writable
from workbench.batch.tally import Tally, state_of
from workbench.errors import InvalidInputError, MissingPackageError
from workbench.library.recorded import is_record, live_or_words, reference_of
from workbench.models import KeyInfo, RunRecord, SweepRecord
from workbench.pages import Row

if TYPE_CHECKING:
    import pandas

    from workbench.library.datasets import Datasets

OWN_COLUMNS = ("point", "status", "seconds", "error", "run")


def rows_of(
    sweep: SweepRecord,
    records: Mapping[str, RunRecord],
    tally: Tally,
    values: Mapping[str, Mapping[str, Any]],
    *,
    all_parameters: bool,
    limit: int | None = None,
) -> list[Row]:
    """Return one row for each point, all with the same columns.

    Parameters
    ----------
    sweep : SweepRecord
    records : mapping
        The runs by id, as far as they are known.
    tally : Tally
        The states of points that have no record.
    values : mapping
        What came out of each run, by name.
    all_parameters : bool
        False leaves out parameters that are the same for all points.
    limit : int, optional
        Only the first so many points.
    """
    names = list(sweep.varied)
    if all_parameters:
        names += list(dict.fromkeys(n for p in sweep.points for n in p.parameters if n not in sweep.varied))
    # a value of the same name as a parameter must not replace it
    goes_over_inputs = any(point.inputs for point in sweep.points)
    own = (*OWN_COLUMNS, "input") if goes_over_inputs else OWN_COLUMNS
    taken = {*own, *names}
    out = dict.fromkeys(name for of_run in values.values() for name in of_run)
    columns = {name: f"output.{name}" if name in taken else name for name in out}
    rows = []
    for number, point in enumerate(sweep.points[:limit]):
        record = records.get(point.run)
        state = state_of(record) if record is not None else tally[number]
        row: Row = {"point": number}
        if goes_over_inputs:
            row["input"] = point.input
        row |= {f"parameter.{name}" if name in own else name: point.parameters.get(name) for name in names}
        row["status"] = str(state.status or "MISSING")
        row["seconds"] = state.seconds
        found = values.get(point.run, {})
        row |= {column: found.get(name) for name, column in columns.items()}
        row["error"] = state.error
        row["run"] = point.run if record is not None else ""
        rows.append(row)
    return rows


def values_of(records: Sequence[RunRecord], datasets: Datasets) -> dict[str, dict[str, Any]]:
    """Return what came out of runs that fits into a table's cell: recorded values, texts, and outputs of one number."""
    wanted = [output.dataset for record in records for output in record.outputs if output.dataset]
    found = {dataset.id: dataset for dataset in datasets.find_many(dict.fromkeys(wanted))}
    values: dict[str, dict[str, Any]] = {}
    for record in records:
        of_run = dict(record.records)
        single = len(record.outputs) == 1
        for position, output in enumerate(record.outputs):
            ending = "" if single else f"[{position}]"
            if output.text is not None:
                of_run.setdefault(f"output{ending}", output.text)
            dataset = found.get(output.dataset or "")
            cells = [] if dataset is None else [key for key, info in dataset.keys.items() if _is_cell(info)]
            if dataset is not None and cells:
                for key, value in datasets.get(dataset, *cells).items():
                    of_run.setdefault(f"{key}{ending}", _plain(value))
        if of_run:
            values[record.id] = of_run
    return values


def _is_cell(info: KeyInfo) -> bool:
    return info.kind in {"scalar", "text"} or (info.kind == "array" and info.shape in {(), (1,)})


def _plain(value: Any) -> Any:
    return value.reshape(-1)[0].item() if hasattr(value, "reshape") else value


def live_rows(rows: Sequence[Row], datasets: Datasets) -> list[Row]:
    """Return rows with the recorded objects themselves: arrays, DataFrames, pictures, datasets."""
    return [
        {name: live_or_words(value, datasets) if is_record(value) else value for name, value in row.items()}
        for row in rows
    ]


def to_frame(rows: Sequence[Row]) -> pandas.DataFrame:
    """Return rows as a DataFrame that shows itself with small pictures.

    Raises
    ------
    MissingPackageError
        If pandas is not installed.
    """
    try:
        import pandas  # noqa: F401
    except ImportError:
        raise MissingPackageError(
            "A DataFrame needs pandas, which is not installed. Run: pip install pandas; or use .rows() or .to_csv(path).",
            package="pandas",
        ) from None
    from workbench.batch.results_frame import frame_of

    return frame_of(rows)


def write_csv(rows: Sequence[Row], path: Path) -> Path:
    """Write rows as CSV: lists are JSON in their cells, recorded arrays, frames and figures a few words and where they are."""
    if path.suffix.lower() in (".xlsx", ".xls", ".ods", ".parquet", ".json"):
        raise InvalidInputError(
            f"{str(path)!r} is to be CSV, and who opens a {path.suffix} file expects something else. Name it {path.stem}.csv; "
            "or .parquet with to_parquet(path)."
        )
    _check_folder(path)
    rows = _in_words(rows)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]) if rows else [])
        writer.writeheader()
        writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return path


def write_parquet(rows: Sequence[Row], path: Path) -> Path:
    """Write rows as Parquet; recorded arrays, frames and figures are a few words and where they are.

    Raises
    ------
    MissingPackageError
        If pandas or pyarrow is not installed.
    """
    try:
        import pyarrow  # noqa: F401  what pandas writes it with
    except ImportError:
        raise MissingPackageError(
            "Parquet needs pyarrow, which is not installed. Run: pip install pyarrow; or use .to_csv(path).",
            package="pyarrow",
        ) from None
    _check_folder(path)
    frame = to_frame(_in_words(rows))
    for name, column in frame.items():
        if not _is_arrow(list(column)):  # a column of Parquet has one type
            frame[name] = [None if value is None else _text(value) for value in column]
    frame.to_parquet(path, engine="pyarrow", index=False)
    return path


def _check_folder(path: Path) -> None:
    if not path.parent.is_dir():
        raise InvalidInputError(
            f"There is no folder {str(path.parent)!r} to write {path.name!r} to. Make it first."
        )
    check_writable(path)


def _is_arrow(values: Sequence[Any]) -> bool:
    import pyarrow

    if any(isinstance(value, dict) for value in values):  # an empty one cannot be written
        return False
    try:
        pyarrow.array(values, from_pandas=True)
    except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError):
        return False
    return True


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _in_words(rows: Sequence[Row]) -> list[Row]:
    return [
        {name: reference_of(v, row.get("run", "")) if is_record(v) else v for name, v in row.items()}
        for row in rows
    ]


def _cell(value: Any) -> Any:
    return json.dumps(value, default=str) if isinstance(value, (list, tuple, dict)) else value
