"""How algorithms lie in the store: manifests with their revisions, aliases, packages and assets."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from pydantic import ValidationError

from workbench.algorithms.package import BLOCK, blocks, digest, read_settled
from workbench.errors import DamagedError, NotFoundError
from workbench.models import Record, Revision
from workbench.storage.store import Store

RECORDS, PACKAGES, ASSETS, ENVIRONMENTS = "algorithms", "packages", "assets", "environments"
_ALIASES = "aliases.json"


class _Manifest(Record):
    """``algorithms/<name>/<major>.<minor>.json``: every revision of a version, the newest last."""

    name: str
    version: str
    revisions: tuple[Revision, ...]


class StoredAlgorithms:
    """Reads and writes what `Algorithms` keeps; who writes holds ``locks.writing``.

    Parameters
    ----------
    store : Store
        Its collections ``algorithms``, ``packages`` and ``assets`` are used.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._is_prepared = False

    def prepare(self) -> None:
        """Make the collections, if they are not there."""
        if not self._is_prepared:
            self._store.create_collections((RECORDS, PACKAGES, ASSETS))
            self._is_prepared = True

    # -- manifests

    def revisions(self, name: str, version: str) -> list[Revision]:
        """Return the stored revisions of a version, the newest last."""
        try:
            text = self._store.get(RECORDS, f"{name}/{version}.json")
        except NotFoundError:
            return []
        return list(self._parse(f"{name}/{version}.json", text).revisions)

    def change(self, name: str, version: str, change: Callable[[list[Revision]], list[Revision]]) -> None:
        """Read the revisions of a version, change the list, write it back; an empty one removes the file."""
        revisions = change(self.revisions(name, version))
        key = f"{name}/{version}.json"
        if revisions:
            manifest = _Manifest(name=name, version=version, revisions=tuple(revisions))
            self._store.put(RECORDS, key, manifest.to_json())
        else:
            self._store.delete(RECORDS, [key])

    def records(self) -> Iterator[Revision]:
        """Yield every stored revision; a damaged manifest is announced and left out."""
        for key, text in self._files(lambda key: not key.endswith(f"/{_ALIASES}")):
            try:
                yield from self._parse(key, text).revisions
            except DamagedError as error:
                warnings.warn(str(error), stacklevel=2)

    def _parse(self, key: str, text: bytes) -> _Manifest:
        try:
            return _Manifest.model_validate_json(text)
        except ValidationError as error:
            raise DamagedError(
                f"{self._store.url}/{RECORDS}/{key} is damaged: {error.errors()[0]['msg']}. Restore it from a copy, or remove it "
                "and deploy again."
            ) from None

    def _files(self, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
        for found in self._store.list(RECORDS):
            if wanted(found.key):
                yield found.key, self._store.get(RECORDS, found.key)

    # -- aliases

    def put_aliases(self, name: str, aliases: Mapping[str, str]) -> None:
        """Write the aliases of an algorithm; none removes the file."""
        if aliases:
            self._store.put(
                RECORDS, f"{name}/{_ALIASES}", json.dumps(dict(aliases), indent=1, sort_keys=True)
            )
        else:
            self._store.delete(RECORDS, [f"{name}/{_ALIASES}"])

    def aliases(self) -> Iterator[tuple[str, dict[str, str]]]:
        """Yield name and aliases of every algorithm that has some."""
        for key, text in self._files(lambda key: key.endswith(f"/{_ALIASES}")):
            try:
                yield key.rpartition("/")[0], {str(k): str(v) for k, v in json.loads(text).items()}
            except (ValueError, AttributeError) as error:
                warnings.warn(
                    f"{self._store.url}/{RECORDS}/{key} is damaged: {error}. Left out.", stacklevel=2
                )

    # -- packages and assets

    def put_files(self, package: bytes, package_digest: str, assets: Mapping[str, tuple[Path, int]]) -> None:
        """Store a package and assets that are not there yet.

        Parameters
        ----------
        package : bytes
        package_digest : str
        assets : mapping
            Digest to file and its size in bytes. Large files go through a staged file, never through memory.

        Raises
        ------
        DamagedError
            If a file has changed since its digest was taken.
        """
        if not self._store.exist(PACKAGES, [f"{package_digest}.zip"])[0]:
            self._store.put(PACKAGES, f"{package_digest}.zip", package)
        wanted = list(assets)
        absent = [d for d, there in zip(wanted, self._store.exist(ASSETS, wanted), strict=True) if not there]
        small: dict[str, bytes] = {}
        for value in absent:
            path, size = assets[value]
            if size > BLOCK:
                self._put_large(value, path)
                continue
            small[value] = read_settled(path)
            if digest(small[value]) != value:
                raise _changed(path)
            if sum(map(len, small.values())) > 4 * BLOCK:
                self._store.put_many(ASSETS, small)
                small = {}
        if small:
            self._store.put_many(ASSETS, small)

    def _put_large(self, value: str, path: Path) -> None:
        from blake3 import blake3

        hasher = blake3(max_threads=blake3.AUTO)
        with self._store.stage(ASSETS) as staged:
            with staged.path.open("wb") as file:
                for block in blocks(path):
                    hasher.update(block)
                    file.write(block)
            if hasher.hexdigest() != value:
                raise _changed(path)
            staged.publish(value)

    def package(self, revision: Revision) -> bytes:
        """Return the package of a revision, checked against its digest."""
        return self._get(
            PACKAGES, f"{revision.package}.zip", revision.package, f"The package of {revision.ref}"
        )

    def asset(self, revision: Revision, path: str) -> bytes:
        """Return an asset of a revision, checked against its digest."""
        value = revision.assets[path]
        return self._get(ASSETS, value, value, f"Asset {path!r} of {revision.ref}")

    def _get(self, collection: str, key: str, value: str, what: str) -> bytes:
        try:
            data = self._store.get(collection, key)
        except NotFoundError:
            raise NotFoundError(
                f"{what} is gone from {self._store.url} ({collection}/{key}). Deploy the folder again, or restore that object."
            ) from None
        if digest(data) != value:
            raise DamagedError(
                f"{what} is damaged in {self._store.url} ({collection}/{key}): its digest differs. Remove that object "
                "and deploy the folder again, or restore it."
            )
        return data

    def put_patch(self, value: str, patch: bytes) -> None:
        """Store what a checkout had beside its commit."""
        self._store.create_collections([ENVIRONMENTS])
        if not self._store.exist(ENVIRONMENTS, [f"{value}.patch"])[0]:
            self._store.put(ENVIRONMENTS, f"{value}.patch", patch)

    def patch(self, revision: Revision) -> bytes:
        """Return the patch of a revision's checkout, checked against its digest; empty where there was nothing to keep."""
        if revision.git is None or not revision.git.diff:
            return b""
        key = f"{revision.git.diff}.patch"
        try:
            patch = self._store.get(ENVIRONMENTS, key)
        except NotFoundError:
            raise NotFoundError(
                f"The uncommitted changes of {revision.ref} are gone from {self._store.url} ({ENVIRONMENTS}/{key})."
            ) from None
        if digest(patch)[:32] != revision.git.diff:
            raise DamagedError(
                f"{self._store.url}, {ENVIRONMENTS}/{key} is damaged. Restore it from a backup."
            )
        return patch

    def delete_files(self, packages: Iterable[str], assets: Iterable[str]) -> None:
        """Delete packages and assets by digest."""
        self._store.delete(PACKAGES, [f"{value}.zip" for value in packages])
        self._store.delete(ASSETS, list(assets))


def _changed(path: Path) -> DamagedError:
    return DamagedError(
        f"{path} has changed since the deploy began. Let its writer finish, then deploy again."
    )
