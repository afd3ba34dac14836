"""Wiring: the parts of a workspace, each built when it is first asked for. The only place that gives parts to each other."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, overload

from workbench.errors import NotFoundError, UnsupportedError, WorkspaceError
from workbench.models import RunRecord
from workbench.settings import Settings
from workbench.storage.fsspec_store import FsspecStore
from workbench.storage.store import Store

if TYPE_CHECKING:
    from workbench.again import Again
    from workbench.algorithms import Algorithms
    from workbench.algorithms.comparison import Comparison
    from workbench.batch import Templates
    from workbench.batch.sweeps import Sweeps
    from workbench.catalog import Catalog
    from workbench.execution.active import ActiveRun
    from workbench.execution.environment import Environment
    from workbench.execution.executor import Executor, Services
    from workbench.execution.perform import RunnerCache
    from workbench.execution.replay import Replay
    from workbench.execution.reuse import Reuse
    from workbench.execution.run import Run
    from workbench.execution.runs import Runs
    from workbench.launcher import Launcher
    from workbench.library import Datasets
    from workbench.library.bundles import Bundles
    from workbench.library.entries import Entries
    from workbench.links import Links
    from workbench.pipelines.pipelines import Pipelines
    from workbench.sessions import Session, Sessions

T = TypeVar("T")


class Calls(Protocol):
    """What parts ask of the workspace as a whole: the calls that users make, too."""

    @property
    def run(self) -> Callable[..., Run]: ...
    @property
    def run_template(self) -> Callable[..., Run]: ...
    @property
    def load_template(self) -> Callable[[str], Any]: ...
    @property
    def resume(self) -> Callable[..., Run]: ...
    @property
    def replay(self) -> Callable[..., Replay]: ...
    @property
    def session(self) -> Callable[[str], Session]: ...


class part(Generic[T]):  # noqa: N801 - a decorator, as property is
    """A part that is built when it is first asked for, by one thread; from then on it is a plain attribute."""

    def __init__(self, build: Callable[[Any], T]) -> None:
        self._build = build
        self._name = build.__name__
        self.__doc__ = build.__doc__

    @overload
    def __get__(self, wiring: None, owner: type) -> part[T]: ...
    @overload
    def __get__(self, wiring: Wiring, owner: type) -> T: ...
    def __get__(self, wiring: Wiring | None, owner: type) -> part[T] | T:
        if wiring is None:
            return self
        with wiring.lock:
            built = vars(wiring)
            if self._name not in built:
                wiring.check_open()
                built[self._name] = self._build(wiring)
            found: T = built[self._name]
            return found


class Wiring:
    """Builds the parts of a workspace, gives each what it works with, and ends them.

    What a part imports is imported when it is built, so that opening a workspace stays light.

    Parameters
    ----------
    store : Store
    catalog : Catalog, or a callable that opens it
    settings : Settings
    calls : Calls
        The workspace.
    """

    def __init__(
        self, store: Store, catalog: Catalog | Callable[[], Catalog], settings: Settings, calls: Calls
    ) -> None:
        self.store = store
        self.settings = settings
        self.lock = threading.RLock()
        self.is_closed = False
        self._calls = calls
        self._open_catalog = catalog
        if not callable(catalog):
            vars(self)["catalog"] = self._settling(catalog)
        self._executors: dict[str, Executor] = {}

    def check_open(self) -> None:
        """Refuse what is asked of a closed workspace."""
        if self.is_closed:
            url = self.store.url
            raise WorkspaceError(f"Workspace {url} is closed. Open it again: workbench.open({url!r}).")

    # -- what keeps

    @part
    def catalog(self) -> Catalog:
        assert callable(self._open_catalog)
        return self._settling(self._open_catalog())

    def _settling(self, catalog: Catalog) -> Catalog:
        """Return a catalog that has the datasets on their way brought in before it looks for some, if nobody has used them yet."""
        catalog.before_datasets(lambda: self.datasets.settle())
        return catalog

    @part
    def datasets(self) -> Datasets:
        from workbench.library import Datasets

        return Datasets(self.store, self.catalog, self.settings, take_in_runs=lambda: self.runs.take_in())

    @part
    def entries(self) -> Entries:
        from workbench.library.entries import Entries

        return Entries(self.store, self.catalog, self.settings)

    @part
    def bundles(self) -> Bundles:
        from workbench.library.bundles import Bundles

        return Bundles(self.store, self.catalog)

    @part
    def links(self) -> Links:
        from workbench.links import Links

        return Links(self.store, self.catalog)

    @part
    def algorithms(self) -> Algorithms:
        from workbench.algorithms import Algorithms

        return Algorithms(
            self.store,
            self.catalog,
            self.settings,
            run=self._calls.run,
            outdated=lambda name, version: self.links.outdated(name, version),
        )

    @part
    def templates(self) -> Templates:
        from workbench.batch import Templates

        return Templates(self.store, lambda: self.algorithms)

    @part
    def sessions(self) -> Sessions:
        from workbench.sessions import Sessions

        return Sessions(self.settings, self._place(), self.store, is_shared=self.store.is_shared)

    # -- what runs

    @part
    def runs(self) -> Runs:
        from workbench.execution.runs import Runs

        return Runs(
            self.store,
            self.catalog,
            self.datasets,
            self.settings,
            attach=self._attach,
            resume=self._calls.resume,
            replay=self._calls.replay,
            compare=self._compare,
        )

    @part
    def reuse(self) -> Reuse:
        from workbench.execution.reuse import Reuse

        return Reuse(self.algorithms, self.datasets, self.catalog)

    @part
    def launcher(self) -> Launcher:
        from workbench.launcher import Launcher

        return Launcher(self.settings, self.algorithms, self.datasets, self.runs, self.reuse, self.executor)

    @part
    def again(self) -> Again:
        from workbench.again import Again

        return Again(
            self.algorithms, self.datasets, self.runs, run=self._calls.run, pipelines=lambda: self.pipelines
        )

    @part
    def sweeps(self) -> Sweeps:
        from workbench.batch.sweeps import Sweeps

        return Sweeps(
            self.store,
            self.settings,
            self.runs,
            self.datasets,
            self.algorithms,
            self.reuse,
            executor=self.executor,
            run=self._calls.run,
            run_template=self._calls.run_template,
            load_template=self._calls.load_template,
        )

    @part
    def pipelines(self) -> Pipelines:
        from workbench.pipelines.pipelines import Pipelines

        return Pipelines(
            self.algorithms,
            self.links,
            self.catalog,
            self.services,
            executor=self.executor,
            run=self._calls.run,
        )

    # -- what executors work with

    @part
    def services(self) -> Services:
        from workbench.execution.executor import Services

        return Services(
            store=self.store,
            settings=self.settings,
            datasets=self.datasets,
            runs=self.runs,
            environment=self.environment,
            runners=self.runners,
            session=self._calls.session,
        )

    @part
    def environment(self) -> Environment:
        from workbench.execution.environment import Environment

        return Environment(self.store)

    @part
    def runners(self) -> RunnerCache:
        from workbench.execution.perform import RunnerCache

        return RunnerCache(self.settings.runner_cache)

    def executor(self, name: str) -> Executor:
        """Return the executor of that name, made on first use."""
        with self.lock:
            if name not in self._executors:
                from workbench.execution.executor import EXECUTORS

                cls = EXECUTORS.get(name)
                if cls.needs_shared_store and not self.store.is_shared:
                    raise UnsupportedError(
                        f"Executor {name!r} needs a store that other processes see; {self.store.url} lives in this one. "
                        "Open a folder: workbench.open('data/bench')."
                    )
                self.services.environment.prepare()  # read in the background: the first run asks for it
                self._executors[name] = cls(self.services)
            return self._executors[name]

    # -- inside

    def _attach(self, record: RunRecord) -> ActiveRun | None:
        """Follow a run that another process started, if its executor can."""
        try:
            return self.executor(record.executor).attach(record)
        except (UnsupportedError, NotFoundError):  # an executor that is not installed here
            return None

    def _compare(self, a: RunRecord, b: RunRecord) -> Comparison:
        from workbench.execution.comparison import compare_runs

        return compare_runs(a, b, self.runs, self.datasets, self.algorithms)

    def _place(self) -> str:
        """Return where the workspace is, the same whatever way its folder was named."""
        store = self.store
        if isinstance(store, FsspecStore) and store.is_local:
            return str(Path(store.root).resolve())
        return store.url

    def close(self) -> None:
        """End what runs in this process, and let go of files and connections; the second time there is nothing to do."""
        with self.lock:
            if self.is_closed:
                return
            self.is_closed = True
        built = vars(self)
        if "pipelines" in built:
            self.pipelines.close()
        for executor in self._executors.values():
            executor.shutdown()
        if "runs" in built:
            self.runs.close()
        if "runners" in built:
            self.runners.clear()
        if "sessions" in built:
            self.sessions.close()
        if "datasets" in built:
            self.datasets.close()
        if "catalog" in built:
            self.catalog.close()
        self.store.close()
