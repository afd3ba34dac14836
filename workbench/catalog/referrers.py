"""Who names a record: runs that read it, and datasets, entries and bundles that were made from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from workbench.catalog.engine import Database
from workbench.catalog.tables import (
    bundle_parents,
    bundles,
    dataset_parents,
    datasets,
    entries,
    entry_parents,
    run_inputs,
    run_outputs,
    runs,
)
from workbench.models import BundleRecord, EntryRecord, RunRecord


@dataclass(frozen=True, slots=True)
class Referrer:
    """A record that names another one."""

    kind: str  # run, dataset, entry or bundle
    id: str
    label: str  # what people call it


_ID: sa.BindParameter[str] = sa.bindparam("id")
_MOST: sa.BindParameter[int] = sa.bindparam("most", type_=sa.Integer())

# Each walks the index of its link table and stops after so many, whatever the size of the tables.
_RUNS = (
    sa.select(runs.c.id, runs.c.algorithm)
    .join(run_inputs, run_inputs.c.run_id == runs.c.id)
    .where(run_inputs.c.dataset_id == _ID)
    .order_by(run_inputs.c.created.desc(), run_inputs.c.run_id.desc())
    .limit(_MOST)
)
_DATASETS = (
    sa.select(datasets.c.id, datasets.c.name)
    .join(dataset_parents, dataset_parents.c.dataset_id == datasets.c.id)
    .where(dataset_parents.c.parent == _ID)
    .order_by(dataset_parents.c.created.desc(), dataset_parents.c.dataset_id.desc())
    .limit(_MOST)
)
_ENTRIES = (
    sa.select(entries.c.record)
    .join(entry_parents, entry_parents.c.entry == entries.c.number)
    .where(entry_parents.c.parent == _ID)
    .order_by(entry_parents.c.entry)
    .limit(_MOST)
)
_BUNDLES = (
    sa.select(bundles.c.record)
    .join(bundle_parents, bundle_parents.c.bundle == bundles.c.number)
    .where(bundle_parents.c.parent == _ID)
    .order_by(bundle_parents.c.bundle)
    .limit(_MOST)
)
_REUSING = (
    sa.select(runs.c.record)
    .join(run_outputs, run_outputs.c.run_id == runs.c.id)
    .where(run_outputs.c.dataset_id == _ID)
    .order_by(run_outputs.c.created.desc(), run_outputs.c.run_id.desc())
    .limit(_MOST)
)


class ReferrerCatalog:
    """What may be asked about who names a record."""

    _database: Database

    def referrers(self, id: str, most: int) -> list[Referrer]:
        """Return who read a dataset or entry, or names a record of any kind as what it was made from; of each kind at most so many."""
        self._database.settle_datasets()
        with self._database.reader() as reader:
            asked = {"id": id, "most": most}
            found = [Referrer("run", run, algorithm) for run, algorithm in reader.rows(_RUNS, asked)]
            found += [Referrer("dataset", dataset, name) for dataset, name in reader.rows(_DATASETS, asked)]
            found += _entries(reader.rows(_ENTRIES, asked))
            return found + _bundles(reader.rows(_BUNDLES, asked))

    def reusing(self, run: str, output: str, most: int) -> list[Referrer]:
        """Return runs that computed nothing, but took over a dataset that this run put out."""
        with self._database.reader() as reader:
            rows = reader.rows(_REUSING, {"id": output, "most": most})
        records = (RunRecord.model_validate_json(text) for (text,) in rows)
        return [Referrer("run", r.id, r.algorithm) for r in records if r.reused_from == run]


def _entries(rows: list[Any]) -> Iterator[Referrer]:
    for (text,) in rows:
        record = EntryRecord.model_validate_json(text)
        yield Referrer("entry", record.id, f"{record.domain}/{record.kind}@{record.version}/{record.name}")


def _bundles(rows: list[Any]) -> list[Referrer]:
    records = (BundleRecord.model_validate_json(text) for (text,) in rows)
    return [Referrer("bundle", record.id, f"{record.name}@{record.version}") for record in records]
