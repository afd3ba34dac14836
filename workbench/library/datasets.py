"""The datasets of a workspace: put arrays, get them back, find them again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from workbench.errors import (
    InvalidDataError,
    InvalidInputError,
    NotFoundError,
    nearest,
)
from workbench.library.contents import Contents, what
from workbench.library.dataset import Dataset, shape_text
from workbench.library.dataset_filing import DatasetFiling
from workbench.library.dataset_records import DatasetRecords
from workbench.library.facts import checked_facts, without_tensors
from workbench.library.frames import frame_text
from workbench.library.in_use import refuse_if_used, users_of
from workbench.library.input_folders import KEY, InputFolders, files_named, is_folder
from workbench.library.reading import note
from workbench.models import BundleFile, DatasetRecord, now
from workbench.names import is_id, new_id
from workbench.pages import Page, Row

if TYPE_CHECKING:
    from datetime import datetime

    import h5py

    from workbench.catalog.catalog import Catalog
    from workbench.library.data_cache import DataCache
    from workbench.library.lineage import Direction, Lineage
    from workbench.schemas import DataSchema
    from workbench.settings import Settings
    from workbench.storage.small_files import SmallFile
    from workbench.storage.store import Store

Ref = str | Dataset
Handles = list[Dataset]
Dicts = list[dict[str, Any]]
In = TypeVar("In")
Out = TypeVar("Out")

_KEEP: Any = object()
_BATCH = 500  # records in one statement


class Datasets:
    """Named arrays, checked by a schema and kept once per content.

    A dataset is named by its id, by its name (the newest one of that name) or by its `Dataset`.

    Parameters
    ----------
    store : Store
    catalog : Catalog
    settings : Settings
    take_in_runs : callable, optional
        Brings to the catalog what is on its way there; called before runs are looked for.
    """

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        settings: Settings,
        take_in_runs: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._take_in_runs = take_in_runs
        self._catalog = catalog
        self._settings = settings
        self._contents = Contents(store, catalog, settings, lambda: self._filing.bring())
        self._filing = DatasetFiling(store, catalog, self._contents, settings)
        self._records = DatasetRecords(store, catalog, self._filing)
        catalog.before_datasets(self.settle)
        self._folders = InputFolders(store)

    @property
    def cache(self) -> DataCache:
        """What runs of this process have fetched and could not map."""
        return self._contents.cache

    # -- putting

    def put(
        self,
        data: Mapping[str, Any],
        schema: type[DataSchema] | str | None = None,
        name: str | None = None,
        tags: Iterable[str] = (),
        attributes: Mapping[str, Any] | None = None,
        run_id: str | None = None,
        parents: Iterable[str] = (),
        source: str | None = None,
    ) -> Dataset:
        """Store arrays as a new dataset; content that is there already is not stored again.

        Parameters
        ----------
        data : mapping
            Key to array (of any dtype), torch tensor, number, text, bytes, or list, tuple or dict of those.
        schema : DataSchema class or name, optional
            What the data must be; default: anything.
        name : str, optional
            Several datasets may have one name: it then means the newest.
        tags : iterable of str
        attributes : mapping, optional
            Facts to keep with it: whatever JSON can hold.
        run_id, parents, source : optional
            The run that made it, the datasets it was made from, the file it came from.

        Raises
        ------
        InvalidDataError
            With the key, if the data does not fit the schema.
        InvalidNameError
            For a name or tag that breaks the rules.

        Examples
        --------
        >>> ds = ws.datasets.put({"image": image}, schema=ImageSchema, name="scan-7")  # doctest: +SKIP
        """
        facts = {
            "tags": tags,
            "attributes": attributes,
            "run_id": run_id,
            "parents": parents,
            "source": source,
        }
        return self._put([self._checked(data, schema)], schema, [name], facts, parallel=False)[0]

    def filed_later(self) -> AbstractContextManager[None]:
        """Return a block in which `put` keeps small arrays in the journal of a folder, and a thread brings them to their places.

        What is put is safe, and found by everybody, as without the block.
        """
        return self._filing.later()

    def settle(self) -> None:
        """Bring what any process has on its way to its place; the catalog does so before every look at datasets."""
        self._filing.settle()

    def put_many(
        self,
        data: Sequence[Mapping[str, Any]],
        schema: type[DataSchema] | str | None = None,
        names: Sequence[str | None] | None = None,
        tags: Iterable[str] = (),
        attributes: Mapping[str, Any] | None = None,
        run_id: str | None = None,
        parents: Iterable[str] = (),
        source: str | None = None,
        parallel: bool = True,
    ) -> Handles:
        """Store many datasets at once, in order; all are checked before the first is stored.

        Parameters are those of `put`, and apply to each; ``names`` gives each its own name.
        """
        if names is not None and len(names) != len(data):
            raise InvalidInputError(
                f"There are {len(names)} names for {len(data)} datasets. Give one for each."
            )
        facts = {
            "tags": tags,
            "attributes": attributes,
            "run_id": run_id,
            "parents": parents,
            "source": source,
        }
        return self._put(
            self._checked_many(data, schema), schema, names or [None] * len(data), facts, parallel
        )

    def check_many(self, data: Sequence[Mapping[str, Any]], schema: type[DataSchema] | str | None) -> None:
        """Raise what `put_many` would raise for data that cannot be stored, and store nothing."""
        from workbench.storage.values import flatten

        for tree in self._checked_many(data, schema):
            flatten(tree)

    def digests(
        self, data: Sequence[Mapping[str, Any]], schema: type[DataSchema] | str | None = None
    ) -> list[str]:
        """Return the digests that data would have as datasets, in order, and store nothing.

        Raises
        ------
        InvalidDataError
            As `put_many`.
        """
        from workbench.storage import hdf5

        trees = self._checked_many(data, schema)
        return _map(hdf5.digest, trees, self._threads(_nbytes(trees) >= 4 << 20))

    def with_digest(self, digest: str) -> Dataset | None:
        """Return the newest dataset of that content whose arrays are there; before those that runs made, one that none did."""
        record = self._catalog.dataset_with_digest(digest)
        return Dataset(record, self) if record and all(self._contents.present([digest])) else None

    def are_whole(self, ids: Iterable[str]) -> bool:
        """Tell whether all of these datasets are there, with their arrays, and the files of bundles that they name."""
        ids = list(ids)
        found = self._records.get(ids)
        return (
            len(found) == len(set(ids))
            and all(self._contents.present({record.digest for record in found.values()}))
            and all(self._has_files(record) for record in found.values() if is_folder(record))
        )

    def import_file(
        self,
        path: str | Path,
        name: str | None = None,
        *,
        as_slices: bool = False,
        tags: Iterable[str] = (),
        attributes: Mapping[str, Any] | None = None,
    ) -> Dataset | Handles:
        """Store what a file or a folder of slices holds.

        Formats: png, jpg, tif (several pages are a volume), npy, npz, h5, FITS, and a folder of slices in natural
        order (slice2 before slice10). A plane becomes ``image``, a stack ``volume``, anything else ``data``.

        Parameters
        ----------
        path : str or Path
        name : str, optional
            Default: none.
        as_slices : bool
            Return a list with one image dataset per slice of a stack.
        tags, attributes
            As in `put`.

        Raises
        ------
        NotFoundError, UnsupportedError, DamagedError, InvalidDataError
            For a missing file, an unknown suffix, a file that is cut off, slices of unequal shape.
        MissingPackageError
            If the format needs a package that is not installed.
        """
        from workbench.library.importers import Content, load

        path = Path(path)
        facts: dict[str, Any] = {"tags": tags, "attributes": attributes, "source": str(path)}
        found = load(path, as_slices=as_slices)
        if isinstance(found, Content):
            return self.put(found.data, found.schema, name, **facts)
        return self.put_many([c.data for c in found], "ImageSchema", [name] * len(found), **facts)

    # -- getting

    def get(
        self,
        ref: Ref,
        *keys: str,
        schema: type[DataSchema] | str | None = None,
        mapped: bool = True,
    ) -> dict[str, Any]:
        """Read arrays of a dataset; nothing but the keys asked for is read.

        Large arrays of a folder are mapped, not read: they cost nothing until they are looked at, and all processes that have
        them share their pages. What is written to one stays with the array: the dataset does not change.

        Parameters
        ----------
        ref : str or Dataset
        *keys : str
            Default: all.
        schema : DataSchema class or name, optional
            Check what was read; keys that are absent and optional in the schema are then left out.
        mapped : bool
            False reads everything into memory at once: for arrays that are changed all over, or outlive a folder that is
            unplugged.

        Raises
        ------
        NotFoundError
            For an absent dataset or key, with near names.
        InvalidDataError
            If the data does not fit the schema.
        DamagedError
            If the stored file is damaged or gone.
        """
        record = self._record(ref)
        note((record.id,))
        if schema is None:
            self._check_keys(record, keys)
            return self._contents.read(record, keys or tuple(record.keys), mapped=mapped)
        return self._read_checked(record, keys, schema, mapped=mapped)

    def get_many(
        self,
        refs: Iterable[Ref],
        *keys: str,
        schema: type[DataSchema] | str | None = None,
        mapped: bool = True,
        parallel: bool = True,
    ) -> Dicts:
        """Read many datasets, in their order; see `get`."""
        return _map(
            lambda ref: self.get(ref, *keys, schema=schema, mapped=mapped),
            self._handles(refs),
            self._threads(parallel),
        )

    def fetch(
        self, refs: Iterable[Ref], schema: type[DataSchema] | str, *keys: str, parallel: bool = False
    ) -> Dicts:
        """Read many datasets for a runner: checked by the schema; a key that is absent and optional is None.

        Large arrays of a folder are mapped, as by `get`; what cannot be mapped is kept for the next run of this process.
        """
        from workbench.schemas import by_name

        cls = by_name(schema) if isinstance(schema, str) else schema
        names = keys or tuple(cls.model_fields)
        handles = self._handles(refs)
        note(dataset.id for dataset in handles)
        found = _map(
            lambda dataset: self._read_checked(dataset.record, keys, cls, cached=True),
            handles,
            self._threads(parallel),
        )
        return [dict.fromkeys(names) | data for data in found]

    @contextmanager
    def open(self, ref: Ref) -> Iterator[h5py.File]:
        """Open a dataset lazily: ``with ws.datasets.open(id) as f: f["image"][10]`` reads one slice.

        Yields
        ------
        h5py.File
            Read-only.
        """
        record = self._record(ref)
        note((record.id,))
        with self._contents.open(record) as file:
            yield file

    def folder(self, ref: Ref) -> Path:
        """Return the folder of a version of a bundle that a run has read, or is to read.

        Returns
        -------
        Path
            A read-only folder in the cache of this user.

        Raises
        ------
        InvalidInputError
            If the dataset is no bundle.
        DamagedError
            If a content is gone, or not what was pushed.
        """
        record = self._record(ref)
        note((record.id,))
        if not is_folder(record):
            raise InvalidInputError(
                f"{what(record)} is no bundle, so it has no folder: its keys are {', '.join(record.keys)}. Read it with "
                "fetch_data or ws.datasets.get; a bundle is given to a run as ws.bundles.get(name, version)."
            )
        return self._folders.path(record.digest, self._files(record))

    def find(self, ref: Ref) -> Dataset:
        """Return the dataset of an id or name (the newest), or the present state of a Dataset.

        Raises
        ------
        NotFoundError
            With near names.
        """
        return Dataset(self._record(ref.id if isinstance(ref, Dataset) else ref), self)

    def find_many(self, ids: Iterable[str]) -> Handles:
        """Return the datasets of these ids, in their order; absent ones are left out."""
        ids = list(ids)
        found = self._records.get(ids)
        return [Dataset(found[id], self) for id in ids if id in found]

    def lineage(self, ref: Ref, generations: int = 10, direction: Direction = "both") -> Lineage:
        """Return what a dataset was made from and what was made from it; see `Dataset.lineage`."""
        from workbench.library.lineage import lineage

        self._take_in_runs()
        return lineage(self._catalog, self.find(ref).id, "dataset", generations, direction, self._store)

    def exist(self, ids: Iterable[str]) -> list[bool]:
        """Tell for each id whether there is such a dataset."""
        ids = list(ids)
        found = self._records.get(id for id in ids if is_id(id))
        return [id in found for id in ids]

    def names(self, prefix: str = "") -> list[str]:
        """Return names of datasets that begin with the prefix, for completion."""
        return self._catalog.dataset_names(prefix)

    def list(
        self,
        name: str | None = None,
        tag: str | None = None,
        *,
        tags: Sequence[str] = (),
        schema: type[DataSchema] | str | None = None,
        run_id: str | None = None,
        since: datetime | timedelta | None = None,
        until: datetime | timedelta | None = None,
        order: str = "-created",
        limit: int | None = None,
        after: str | None = None,
    ) -> Page[Dataset]:
        """List datasets, newest first, a page at a time.

        Parameters
        ----------
        name : str, optional
            May hold ``*`` and ``?``.
        tag, tags : optional
            All of these tags.
        schema : DataSchema class or name, optional
        run_id : str, optional
            Made by this run.
        since, until : datetime or timedelta, optional
            Created from ``since`` on and before ``until``; a timedelta counts back from now.
        order : str
            Field to sort by, with ``-`` in front for descending.
        limit : int, optional
            Datasets on a page; default: the setting ``page_size``.
        after : str, optional
            The cursor of a page.
        """
        given: dict[str, Any] = {
            "name": name,
            "tags": tuple(tags) + ((tag,) if tag else ()),
            "schema": schema if schema is None or isinstance(schema, str) else schema.__name__,
            "run_id": run_id,
            "since": now() - since if isinstance(since, timedelta) else since,
            "until": now() - until if isinstance(until, timedelta) else until,
            "order": order,
            "limit": limit or self._settings.page_size,
        }

        is_filtered = any(given[key] for key in ("name", "tags", "schema", "run_id", "since", "until"))

        def page(cursor: str | None) -> Page[Dataset]:
            records, next_cursor = self._catalog.list_datasets(**given, after=cursor)
            return Page(
                [Dataset(record, self) for record in records],
                _row,
                (lambda: page(next_cursor)) if next_cursor else None,
                "datasets that fulfil this" if is_filtered else "datasets",
                "" if is_filtered else "Store one: ws.datasets.put({'image': array}).",
            )

        return page(after)

    def records(self) -> Iterator[DatasetRecord]:
        """Yield the record of every stored dataset, read from the store, not the catalog."""
        return self._records.stored()

    def reindex(self) -> int:
        """Bring the records of the store, and those on their way there, into the catalog; return how many."""
        records, count = iter(self.records()), 0
        while batch := list(islice(records, _BATCH)):
            self._catalog.put_datasets(batch)
            count += len(batch)
        return count

    # -- changing

    def update(
        self,
        ref: Ref,
        *,
        name: str | None = _KEEP,
        tags: Iterable[str] = _KEEP,
        attributes: Mapping[str, Any] = _KEEP,
    ) -> Dataset:
        """Replace the name, the tags or the attributes of a dataset; what is not given stays.

        Returns
        -------
        Dataset
            The new state; ``ref`` itself, if it is a Dataset, keeps showing the old one.
        """
        given = {"name": name, "tags": tags, "attributes": attributes}
        changes = checked_facts({key: value for key, value in given.items() if value is not _KEEP})
        record = self._settled(ref).model_copy(update=changes)
        self._records.save([record])
        return Dataset(record, self)

    def delete(self, ref: Ref, *, force: bool = False) -> None:
        """Delete a dataset; its arrays go when no other dataset has the same content.

        Raises
        ------
        InUseError
            If runs read it, which could not be replayed without it, or if datasets, entries or bundles name it as their parent.
            ``force=True`` deletes it nevertheless.
        """
        record = self._settled(ref)
        if not force:
            remedy = f"ws.datasets.delete({record.id!r}, force=True)"
            refuse_if_used(what(record), users_of(self._catalog, [record.id]), remedy)
        self._records.delete(record.id)
        self._contents.drop(record.digest)

    def close(self) -> None:
        """Bring to its place what is on its way, and let go of open files."""
        self._filing.close()
        self._contents.close()

    # -- records

    def _put(
        self,
        trees: Dicts,
        schema: type[DataSchema] | str | None,
        names: Sequence[str | None],
        facts: Mapping[str, Any],
        parallel: bool,
    ) -> Handles:
        facts = checked_facts(facts)
        for name in names:
            checked_facts({"name": name})
        schema_name = schema if isinstance(schema, str) else schema.__name__ if schema else "DataSchema"
        files = self._small_files(trees) if self._filing.is_later else []
        stored = [(file.digest, file.keys) for file in files] or _map(
            self._contents.put, trees, self._threads(parallel and not self._is_quick(trees))
        )
        created = now()
        records = [
            DatasetRecord(
                id=new_id(),
                digest=digest,
                schema_name=schema_name,
                keys=keys,
                nbytes=sum(key.nbytes for key in keys.values()),
                name=name,
                created=created + timedelta(microseconds=i),  # a listing keeps their order
                **facts,
            )
            for i, ((digest, keys), name) in enumerate(zip(stored, names, strict=True))
        ]
        if files:
            self._filing.keep(records, [file.content for file in files])
        else:
            self._records.save(records, are_new=True)
            puts = (partial(self._contents.put, tree) for tree in trees)
            self._contents.keep(dict(zip((record.digest for record in records), puts, strict=True)))
        return [Dataset(record, self) for record in records]

    def _record(self, ref: Ref) -> DatasetRecord:
        return ref.record if isinstance(ref, Dataset) else self._records.find(ref)

    def _settled(self, ref: Ref) -> DatasetRecord:
        """Return the present record of a dataset that is to be changed, once nobody brings it to its place any more."""
        record = self._records.find(ref.id if isinstance(ref, Dataset) else ref)
        self._filing.wait_filed(record.id)
        return record

    def _small_files(self, trees: Dicts) -> Sequence[SmallFile]:
        """Return the file of each tree; none if not all are small."""
        found = []
        for tree in trees:
            file = self._contents.file_of(tree)
            if file is None:
                return []
            found.append(file)
        return found

    def _has_files(self, record: DatasetRecord) -> bool:
        """Tell whether the contents of all files are there that the dataset of a bundle names."""
        try:
            return self._folders.are_stored(self._files(record))
        except InvalidDataError:  # somebody's own text: who reads it as a folder is told
            return True

    def _files(self, record: DatasetRecord) -> Mapping[str, BundleFile]:
        """Return the files that the dataset of a bundle names."""
        return files_named(self._contents.read(record, [KEY])[KEY])

    def _handles(self, refs: Iterable[Ref]) -> Handles:
        refs = [refs] if isinstance(refs, (str, Dataset)) else list(refs)
        known = self._records.get(ref for ref in refs if isinstance(ref, str) and is_id(ref))
        return [
            Dataset(known[ref] if isinstance(ref, str) and ref in known else self._record(ref), self)
            for ref in refs
        ]

    def _check_keys(self, record: DatasetRecord, keys: Iterable[str]) -> None:
        for key in keys:
            if key not in record.keys:
                near = nearest(key, record.keys)
                hint = f" Did you mean {near[0]!r}?" if near else ""
                raise NotFoundError(
                    f"{what(record)} has no key {key!r}.{hint} It has {', '.join(map(repr, record.keys))}.",
                    near=near,
                )

    def _is_quick(self, trees: Dicts) -> bool:
        """Tell whether threads would only be in each other's way: small arrays into local files."""
        return self._store.is_local and _nbytes(trees) < len(trees) << 20

    def _threads(self, parallel: bool) -> int:
        return max(2, self._settings.threads) if parallel else 1

    # -- checking

    def _read_checked(
        self, record: DatasetRecord, keys: tuple[str, ...], schema: type[DataSchema] | str, **how: bool
    ) -> dict[str, Any]:
        from workbench.schemas import validate

        present = [key for key in keys or record.keys if key in record.keys]
        return validate(schema, self._contents.read(record, present, **how), keys)

    def _checked(self, data: Mapping[str, Any], schema: type[DataSchema] | str | None) -> dict[str, Any]:
        from workbench.schemas import validate

        return validate(schema, without_tensors(data))

    def _checked_many(
        self, data: Sequence[Mapping[str, Any]], schema: type[DataSchema] | str | None
    ) -> Dicts:
        out = []
        for i, item in enumerate(data, 1):
            try:
                out.append(self._checked(item, schema))
            except InvalidDataError as error:
                which = f"Dataset {i} of {len(data)}: " if len(data) > 1 else ""
                raise InvalidDataError(f"{which}{error}", key=error.key) from error
        return out


def _map(do: Callable[[In], Out], items: Sequence[In], threads: int) -> list[Out]:
    if threads < 2 or len(items) < 2:
        return [do(item) for item in items]
    with ThreadPoolExecutor(threads, "workbench-datasets") as pool:
        return list(pool.map(do, items))


def _nbytes(trees: Dicts) -> int:
    return sum(getattr(value, "nbytes", 0) for tree in trees for value in tree.values())


def _row(dataset: Dataset) -> Row:
    return {
        "id": dataset.id,
        "name": dataset.name,
        "keys": frame_text(dataset.keys)
        or ", ".join(f"{key} {shape_text(info)}" for key, info in dataset.keys.items()),
        "size": dataset.size,
        "tags": dataset.tags,
        "run": dataset.run_id,
        "created": dataset.created,
    }
