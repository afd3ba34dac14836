"""Workspace: what a user has in hand, and how it is opened. Its parts are built and wired in `workbench.wiring`."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from workbench.errors import UnsupportedError
from workbench.opening import claim, open_index
from workbench.settings import Settings, default_url, load
from workbench.storage.fsspec_store import FsspecStore
from workbench.storage.store import Store
from workbench.wiring import Wiring

if TYPE_CHECKING:
    from workbench.algorithms import Algorithm, Algorithms
    from workbench.algorithms.runnable import Runnable
    from workbench.batch import Templates
    from workbench.batch.sweeps import Sweeps
    from workbench.batch.template import Template
    from workbench.catalog import Catalog
    from workbench.execution.caches import CacheState
    from workbench.execution.events import RunEvent
    from workbench.execution.executor import Executor, Services
    from workbench.execution.member import Member
    from workbench.execution.replay import Replay
    from workbench.execution.run import Run
    from workbench.execution.runs import Runs
    from workbench.execution.why import Why
    from workbench.library import Datasets
    from workbench.library.bundles import Bundles
    from workbench.library.crate_import import ImportedCrate
    from workbench.library.entries import Entries
    from workbench.links import Links
    from workbench.models import RunRecord
    from workbench.pages import Page
    from workbench.pipelines import Pipeline
    from workbench.pipelines.pipelines import Pipelines
    from workbench.sessions import Session, Sessions

_opened: list[Workspace] = []  # those that are not closed, the last one last
_lock = threading.RLock()


class Workspace:
    """Everything of one store: ``ws.datasets``, ``ws.entries``, ``ws.bundles``, ``ws.algorithms``, ``ws.runs``, ``ws.sweeps``, ``ws.sessions``,
    ``ws.links``, ``ws.pipelines`` and ``ws.run(...)``.

    Made by `workbench.open`; a context manager. Safe to use from several threads.
    """

    def __init__(self, store: Store, catalog: Catalog | Callable[[], Catalog], settings: Settings) -> None:
        self.store = store
        self.settings = settings
        self.is_new = False  # opening it made it: perhaps its name was mistyped
        self._wiring = Wiring(store, catalog, settings, self)
        self._check_open = self._wiring.check_open

    @property
    def url(self) -> str:
        """Where the workspace is."""
        return self.store.url

    @property
    def catalog(self) -> Catalog:
        """The index of everything; opened on first use."""
        return self._wiring.catalog

    @property
    def datasets(self) -> Datasets:
        """The datasets."""
        self._check_open()
        return self._wiring.datasets

    @property
    def entries(self) -> Entries:
        """The entries: files of domains, with versions and metadata."""
        self._check_open()
        return self._wiring.entries

    @property
    def bundles(self) -> Bundles:
        """The bundles: folders kept in step by checksum."""
        self._check_open()
        return self._wiring.bundles

    @property
    def links(self) -> Links:
        """The versions of steps, their states, and which of them worked together."""
        self._check_open()
        return self._wiring.links

    @property
    def algorithms(self) -> Algorithms:
        """The deployed algorithms."""
        self._check_open()
        return self._wiring.algorithms

    @property
    def runs(self) -> Runs:
        """All runs."""
        return self._wiring.runs

    @property
    def sessions(self) -> Sessions:
        """The sessions: what stays warm between cells, kernels and background runs."""
        self._check_open()
        return self._wiring.sessions

    @property
    def templates(self) -> Templates:
        """The notebooks that are kept here to be run with other parameters."""
        self._check_open()
        return self._wiring.templates

    @property
    def sweeps(self) -> Sweeps:
        """The sweeps: many runs over points of their parameters."""
        return self._wiring.sweeps

    @property
    def pipelines(self) -> Pipelines:
        """The pipelines: graphs of algorithms, functions and steps that run as one."""
        self._check_open()
        return self._wiring.pipelines

    def session(self, name: str) -> Session:
        """Return the session of this name; made on first use.

        Examples
        --------
        >>> ws.session("tuning")["volume"] = array  # doctest: +SKIP
        """
        return self.sessions.open(name)

    def run(
        self,
        algorithm: str | os.PathLike[str] | Algorithm | Runnable | Pipeline,
        inputs: Any = (),
        parameters: Mapping[str, Any] | None = None,
        *,
        executor: str | None = None,
        device: str | None = None,
        session: str | Session | None = None,
        timeout_s: float | None = None,
        retries: int = 0,
        reuse: str | None = None,
        wait: bool = True,
        debug: bool = False,
        priority: int = 0,
        tags: Sequence[str] = (),
        echo: bool | None = None,
        on_event: Callable[[RunEvent], None] | None = None,
        _resumed: RunRecord | None = None,
        _replays: RunRecord | None = None,
        _member: Member | None = None,
        _part: tuple[str, str] | None = None,
    ) -> Run:
        """Run an algorithm on inputs.

        Parameters
        ----------
        algorithm : str, path, Algorithm or Pipeline
            ``name``, ``name@1``, ``name@1.2``, ``name@alias``, a revision id, or the folder of one that is not deployed.
            A pipeline is run as by ``ws.pipelines.run``.
        inputs : array, str, Dataset, path, or a sequence of them
            Ids, names, Datasets, files, arrays or a mix; may be empty. An array becomes a dataset under the key of the
            algorithm's type; for image types a 3-D array of shape (n, H, W) is a stack of n slices. An array of shape (3, H, W)
            in a list is one colour image.
        parameters : mapping, optional
            Values by name; the rest take their defaults.
        executor : str, optional
            ``kernel`` (in this process) or ``process`` (in a background process that outlives this one).
        device : str, optional
            ``cpu``, ``gpu``, ``cuda``, ``cuda:1``, ``mps``; default: the setting ``device``, then the algorithm's default.
        session : str or Session, optional
            Where the algorithm saves and loads items that outlive the run. Without one, the first item that is saved makes a
            session named after the run.
        timeout_s : float, optional
            Seconds after which the run is ended: in the kernel at its next log, progress or fetch call, in a process anyway.
        retries : int
            How often a failed run is tried again.
        reuse : {"never", "auto", "only"}, optional
            Whether a completed run that computed the same stands for this one: never; where there is one; or else nothing runs.
            ``auto`` never uses runs of an algorithm that declares ``deterministic = false``. Default: the setting ``reuse``.
        wait : bool
            False returns at once; the run goes on in a worker thread, or in its process.
        debug : bool
            Raise what the algorithm raises, so that ``%debug`` lands in its frame.
        priority : int
            Of background runs that wait, those with a higher one start first.
        tags : sequence of str
            Labels to find the run by.
        echo : bool, optional
            Whether what the algorithm prints also appears here; default: only when the run is waited for.
        on_event : callable, optional
            Called with every `RunEvent` from the first one on, in the thread where it happens.

        Returns
        -------
        Run
            What started and failed is a Run with ``status == "FAILED"`` and ``run.error``; ``run.result()`` raises it.

        Raises
        ------
        NotFoundError, InvalidParameterError, InvalidDataError, InvalidInputError, UnsupportedError
            Before anything is stored or started: an unknown algorithm, dataset or parameter, a wrong value, array or device;
            with ``reuse="only"``, when nothing has computed this.
        """
        from workbench.launcher import Options

        self._check_open()
        if hasattr(algorithm, "wiring"):  # a Pipeline, which nothing here has imported
            return self._run_pipeline(
                algorithm,
                inputs,
                parameters,
                {
                    "device": device,
                    "session": session,
                    "retries": retries or None,
                    "priority": priority or None,
                },
                executor=executor,
                reuse="auto" if reuse is None else reuse,
                wait=wait,
                timeout_s=timeout_s,
                debug=debug,
                tags=tags,
                echo=echo,
                on_event=on_event,
            )
        options = Options(
            executor=executor,
            device=device,
            session=session,
            timeout_s=timeout_s,
            retries=retries,
            reuse=reuse,
            wait=wait,
            debug=debug,
            priority=priority,
            tags=tags,
            echo=echo,
            on_event=on_event,
            resumed=_resumed,
            replays=_replays,
            member=_member,
            part=_part,
        )
        return self._wiring.launcher.run(algorithm, inputs, parameters, options)

    def _run_pipeline(
        self, pipeline: Any, inputs: Any, parameters: Any, of_nodes: Mapping[str, Any], **options: Any
    ) -> Run:
        """Run a pipeline by `run`: several inputs are a sequence, or a mapping by name."""
        given = [name for name, value in of_nodes.items() if value is not None]
        if given:
            raise UnsupportedError(
                f"{given[0]!r} is an option of a node, not of a whole pipeline: Node(..., {given[0]}={of_nodes[given[0]]!r})."
            )
        is_one = len(pipeline.inputs) == 1 or isinstance(inputs, Mapping)
        several = [inputs] if is_one else list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
        return self.pipelines.run(pipeline, *several, parameters=parameters, **options)

    def load_template(self, ref: str | os.PathLike[str]) -> Template:
        """Return the template at a path, an fsspec URL, or ``workbench://name.ipynb`` in this workspace."""
        from workbench.batch import load_template

        return load_template(ref, self.store, algorithms=lambda: self.algorithms)

    def run_template(
        self,
        template: str | os.PathLike[str] | Template,
        parameters: Mapping[str, Any] | None = None,
        *,
        executor: str | None = None,
        wait: bool = True,
        timeout_s: float | None = None,
        retries: int = 0,
        priority: int = 0,
        tags: Sequence[str] = (),
        reuse: str | None = None,
        on_event: Callable[[RunEvent], None] | None = None,
        _member: Member | None = None,
    ) -> Run:
        """Run a notebook with parameters, in a fresh process of its own; what it has become is ``run.notebook``.

        Parameters
        ----------
        template : str, path or Template
            A notebook: a path, an fsspec URL, or ``workbench://name.ipynb`` in this workspace.
        parameters : mapping, optional
            Values by name, as the notebook declares them; the rest take their defaults.
        executor : str, optional
            ``process``; a notebook is never run in this kernel.
        timeout_s : float, optional
            Seconds after which the cell that runs is interrupted, and the notebook ended.
        reuse : {"never", "auto", "only"}, optional
            Whether a completed run of the same notebook with the same parameters stands for this one; default: never.
        wait, retries, priority, tags, on_event : optional
            As for `run`.

        Raises
        ------
        NotFoundError, InvalidParameterError, InvalidInputError
            Before anything is stored or started: no such notebook, a wrong value, an unknown name.
        """
        from workbench.launcher import Options

        self._check_open()
        options = Options(
            executor=executor,
            timeout_s=timeout_s,
            retries=retries,
            reuse=reuse,
            wait=wait,
            priority=priority,
            tags=tags,
            on_event=on_event,
            member=_member,
        )
        chosen = self.load_template(template) if isinstance(template, (str, os.PathLike)) else template
        return self._wiring.launcher.run_template(chosen, parameters, options)

    def resume(self, run_id: str, **options: Any) -> Run:
        """Go on with a run that did not complete, after its last finished phase: a new run of the same on the same.

        Parameters
        ----------
        run_id : str
            A run that failed, was cancelled or lost, of an algorithm that declares ``resumable = true``.
        **options
            As for `run`, such as ``executor``, ``wait``, ``timeout_s``; default: those of the run.

        Raises
        ------
        InvalidInputError
            If the run completed or still goes on.
        UnsupportedError
            If its algorithm does not keep its phases.
        """
        self._check_open()
        return self._wiring.again.resume(run_id, **options)

    def replay(
        self,
        run_id: str,
        *,
        rtol: float = 0.0,
        atol: float = 0.0,
        from_source: bool | str | os.PathLike[str] = False,
        **options: Any,
    ) -> Replay:
        """Compute a completed run again, from the same code, parameters, inputs, device and seed, and compare its outputs.

        Of a run of a pipeline, its recorded inputs are read and everything is computed from them, node by node, with the code,
        parameters and seed of each; then the outputs of each node are compared. A node that cannot be computed again says why, and
        what reads from it is given what was recorded.

        Parameters
        ----------
        run_id : str
            Of a reused run, what is computed again is the run that computed its outputs; itself, if that is not here any more.
        rtol, atol : float
            Numbers are within tolerance where ``|new - old| <= atol + rtol * |old|``.
        from_source : bool, path or URL
            First make the code anew, from a fresh clone of its repository (or of this one) at its commit with the uncommitted
            changes that were kept, and go on only if it is the same.
        **options
            As for `run`, such as ``executor``, ``device``, ``timeout_s``; default: those of the run. Of a pipeline also
            ``pipeline``, a `Pipeline` that has those of its functions and steps which a record alone does not lead to, such as a
            lambda; they are taken where they mean the same.

        Returns
        -------
        Replay
            Of a pipeline a `PipelineReplay`, which has ``.nodes``.

        Raises
        ------
        InvalidInputError, UnsupportedError, NotFoundError
            If it cannot be computed again: it did not complete, was of a notebook or of a folder that has changed, worked in a
            session, or its inputs or its revision were deleted.
        """
        self._check_open()
        return self._wiring.again.replay(run_id, rtol, atol, from_source, **options)

    def find_run(
        self,
        algorithm: str | os.PathLike[str] | Algorithm | Runnable,
        inputs: Any = (),
        parameters: Mapping[str, Any] | None = None,
        *,
        device: str | None = None,
    ) -> Run | None:
        """Return the newest completed run that computed exactly this and has all its outputs; None if there is none.

        Parameters and errors are those of `run`. Arrays are hashed, and nothing is stored.
        """
        self._check_open()
        return self._wiring.launcher.find(algorithm, inputs, parameters, device)

    def why(self, run_id: str) -> Why:
        """Return why a run was computed or reused, and what differs from the nearest earlier run of its algorithm.

        Raises
        ------
        NotFoundError
            If there is no such run.
        """
        from workbench.execution.why import explain

        return explain(self.runs.record(run_id), self._wiring.reuse, self.algorithms, self.catalog)

    def caches(self) -> Page[CacheState]:
        """Return what this process and the background workers keep for the next run, and how often that was of use."""
        from workbench.execution.caches import page, states
        from workbench.execution.process_executor import ProcessExecutor

        self._check_open()
        found = states(self.services(), "this process")
        executor = self.executor("process") if self.store.is_shared else None
        if isinstance(executor, ProcessExecutor):
            found += executor.cache_states()
        return page(found)

    def reindex(self) -> dict[str, int]:
        """Build the catalog anew from the store; return how many records of each kind it holds.

        It is one transaction: others read what was there before and wait with what they write until it ends. An error or a kill
        leaves the catalog as it was.
        """
        self._check_open()
        with self.catalog.rebuild():
            self.catalog.clear()
            return {
                "datasets": self.datasets.reindex(),
                "algorithms": self.algorithms.reindex(),
                "runs": self.runs.reindex(),
                "entries": self.entries.reindex(),
                "bundles": self.bundles.reindex(),
                "versions of steps": self.links.reindex(),
            }

    def import_crate(
        self, path: str | os.PathLike[str], *, dry_run: bool = False, code: bool = False, check: bool = True
    ) -> ImportedCrate:
        """Bring datasets and runs of an RO-Crate that ``lineage().export(path)`` has written, under their own ids and with their lineage.

        What is here already is left alone.

        Parameters
        ----------
        path : path
            A ``.zip``, or a folder.
        dry_run : bool
            Only check it, and say what it would bring.
        code : bool
            Bring the algorithms and the functions of pipelines too, so that the runs can be replayed. Algorithms are deployed, which
            imports their code in a process of its own; functions are kept as text. Ask for it only if you trust who wrote the crate.
        check : bool
            As for ``ws.algorithms.deploy``: ``False`` imports nothing of the algorithms' code.

        Raises
        ------
        NotFoundError, UnsupportedError, DamagedError, ConflictError, InvalidAlgorithmError
            If it is not there, of something else, tampered with, an id of it is here with other content, or an algorithm does not pass
            the gate. Nothing is imported.
        """
        from workbench.library.crate_import import import_crate

        self._check_open()
        bring = partial(self.algorithms.import_revisions, check=check) if code else None
        return import_crate(self.store, self.catalog, path, dry_run=dry_run, bring=bring)

    def executor(self, name: str) -> Executor:
        """Return the executor of that name, made on first use.

        Raises
        ------
        UnsupportedError
            If it needs a store that other processes see, and this one lives in memory.
        """
        return self._wiring.executor(name)

    def services(self) -> Services:
        """Return what executors work with, for those that live outside of this module."""
        return self._wiring.services

    def close(self) -> None:
        """End what runs in this process and let go of files and connections."""
        self._wiring.close()
        with _lock:
            if self in _opened:
                _opened.remove(self)

    @property
    def is_closed(self) -> bool:
        return self._wiring.is_closed

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = " (closed)" if self.is_closed else " (new)" if self.is_new else ""
        return f"Workspace {self.url}{state}"


def open(
    url: str | os.PathLike[str] | None = None,
    *,
    catalog: str | None = None,
    storage_options: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Workspace:
    """Open a workspace; a missing or empty folder becomes one. It is then the current workspace.

    Parameters
    ----------
    url : str or path, optional
        Folder, ``file://``, ``memory://name`` or ``s3://bucket/prefix``. Default: ``$WORKBENCH_URL``, else ``url`` of the nearest
        ``workbench.toml``, else a folder in the user's data folder.
    catalog : str, optional
        SQLAlchemy URL of the catalog, which belongs to one workspace; default: SQLite in the workspace.
    storage_options : mapping, optional
        Options for the fsspec file system, such as credentials.
    **settings
        Any other setting; see ``workbench settings``.

    Raises
    ------
    WorkspaceError
        If the folder is something else, or was written by a newer version; if the catalog is that of another workspace.
    ReadOnlyError, StorageError
        If the place cannot be reached or written.
    """
    arguments = {
        **settings,
        "url": str(url) if url is not None else None,
        "catalog": catalog,
        "storage_options": dict(storage_options) if storage_options else None,
    }
    configured, _ = load(arguments)
    store = FsspecStore(
        configured.url or default_url(),
        configured.storage_options or None,
        durability=configured.durability,
        threads=configured.threads,
    )
    try:
        mark = claim(store, configured)
        index = open_index(store, configured, mark)
    except BaseException:
        store.close()
        raise
    workspace = Workspace(store, index.catalog, configured)
    workspace.is_new = mark.is_new
    if index.fill is not None:
        try:
            index.fill(workspace.reindex)
        except BaseException:
            workspace.close()
            raise
    with _lock:
        _opened.append(workspace)
    return workspace


def current() -> Workspace:
    """Return the workspace that was opened last and is not closed; open the default one if there is none."""
    with _lock:
        return _opened[-1] if _opened else open()


def opened() -> Workspace | None:
    """Return the workspace that was opened last and is not closed; None if there is none."""
    with _lock:
        return _opened[-1] if _opened else None
