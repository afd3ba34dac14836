"""Frozen records that cross layers and lie on disk as JSON.

Records ignore fields they do not know, so an older reader opens a newer record. Times carry their zone (UTC).
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import PurePath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


def now() -> datetime:
    """Return the current time with its zone (UTC)."""
    return datetime.now(UTC)


class Record(BaseModel):
    """A frozen record; unknown fields are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True, ser_json_inf_nan="constants")

    def to_json(self) -> str:
        """Return the record as indented JSON text that reads well in a diff."""
        return self.model_dump_json(indent=1)


class ObjectInfo(Record):
    """What a store knows of one object.

    ``etag`` follows the S3 rule (quoted; see ``storage.etags``) and is None in listings where it would cost a read.
    """

    key: str
    size: int
    modified: datetime
    etag: str | None = None


class KeyInfo(Record):
    """One key of a dataset: what kind of value it holds.

    ``kind`` is ``array``, ``scalar``, ``text``, ``list`` or ``group``; shape and dtype are those of an array or scalar,
    ``items`` describes the members of a list or group.
    """

    kind: Literal["array", "scalar", "text", "list", "group"]
    shape: tuple[int, ...] = ()
    dtype: str = ""
    nbytes: int = 0
    items: dict[str, KeyInfo] = Field(default_factory=dict)


class DatasetRecord(Record):
    """A dataset: ``datasets/<id>.json``. Its arrays are ``objects/<digest>.h5``."""

    id: str
    digest: str
    schema_name: str
    keys: dict[str, KeyInfo]
    nbytes: int
    name: str | None = None
    tags: tuple[str, ...] = ()
    attributes: dict[str, Any] = Field(default_factory=dict)
    created: datetime
    run_id: str | None = None  # the run that made it
    parents: tuple[str, ...] = ()  # dataset ids it was made from
    source: str | None = None  # the file it was imported from


class AlgorithmType(StrEnum):
    """What an algorithm reads and writes."""

    IMAGE2IMAGE = "Image2Image"
    IMAGE2SEGMENTATION = "Image2Segmentation"
    IMAGE2ALIGNMENT = "Image2Alignment"
    IMAGE2EMBEDDING = "Image2Embedding"
    SEGMENTATION2SEGMENTATION = "Segmentation2Segmentation"
    GENERIC = "Generic"
    UNDEFINED = "Undefined"

    @property
    def input_key(self) -> str:
        """Return the dataset key under which a bare array is given to an algorithm of this type."""
        if self.value.startswith("Image2"):
            return "image"
        return "mask" if self is AlgorithmType.SEGMENTATION2SEGMENTATION else "data"


class ParameterSpec(Record):
    """One declared parameter of an algorithm; the kinds and their rules are in ``algorithms.parameters``."""

    name: str
    description: str = ""
    type: str = "string"
    default: Any = None
    adjustable: bool = True
    options: tuple[Any, ...] = ()
    min: int | float | None = None
    max: int | float | None = None
    step: int | float | None = None
    min_excluded: bool = False  # values are greater than min, not equal to it
    max_excluded: bool = False
    multiple_of: int | float | None = None
    unit: str = ""
    optional: bool = False  # None is a value
    length: int | None = None  # of tuples


class FieldRecord(Record):
    """One value that counted in a version."""

    kind: str  # major, minor or patch
    digest: str
    shown: str


class Verdict(Record):
    """What the deploy gate found when it imported an algorithm in a clean process."""

    ok: bool
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    checked: datetime
    seconds: float = 0.0
    python: str = ""
    workbench: str = ""
    fields: dict[str, FieldRecord] | None = (
        None  # versioned fields of the Runner class; None: nobody has looked
    )


class GitSource(Record):
    """The checkout that an algorithm was deployed from; the patch is ``environments/<diff>.patch``."""

    commit: str
    branch: str = ""
    remote: str = ""  # URL of origin, without secrets
    root: str = ""  # of the checkout, on the machine that deployed
    path: str = "."  # of the algorithm's folder, in it
    dirty: bool = False
    diff: str = ""  # digest of the patch to the commit
    files: int = 0  # that the patch changes
    left_out: tuple[str, ...] = ()  # files that differ too, and are too large to be kept


class Revision(Record):
    """One immutable content of ``name@major.minor``; runs record its id."""

    id: str
    name: str
    major: int
    minor: int
    type: AlgorithmType = AlgorithmType.UNDEFINED
    description: str = ""
    tags: tuple[str, ...] = ()
    supported_devices: tuple[str, ...] = ("cpu",)
    default_device: str = "cpu"
    parameters: tuple[ParameterSpec, ...] = ()
    package: str  # digest of packages/<digest>.zip
    assets: dict[str, str] = Field(default_factory=dict)  # path in the folder -> digest of assets/<digest>
    runner: str = "Runner.py"  # path in the package
    runner_class: str = "Runner"
    compox: bool = False  # written for Compox: [tool.compox]
    verdict: Verdict | None = None
    settings: dict[str, Any] = Field(default_factory=dict)  # other keys of [tool.workbench]
    created: datetime
    source: str | None = None  # the folder it came from
    content: str = ""  # digest over all of the above that makes two revisions differ
    declared: str = ""  # digest over what the folder alone says: an equal folder need not pass the gate again
    git: GitSource | None = None

    @property
    def version(self) -> str:
        """Return ``major.minor``."""
        return f"{self.major}.{self.minor}"

    @property
    def ref(self) -> str:
        """Return ``name@major.minor``."""
        return f"{self.name}@{self.version}"


class RunStatus(StrEnum):
    """Where a run stands. ``str(status)`` and comparison with text both work."""

    PENDING = "PENDING"
    STARTED = "STARTED"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    LOST = "LOST"

    @property
    def is_final(self) -> bool:
        """Tell whether the run has ended."""
        return self in _FINAL


_FINAL = frozenset({RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.LOST})


class Progress(Record):
    """How far a run is: a fraction 0..1 that never goes back, and what it is doing."""

    fraction: float = 0.0
    message: str = ""


class ErrorRecord(Record):
    """The true error of a run: the first one raised, with its traceback."""

    type: str  # "ValueError"
    message: str
    phase: str = ""  # load_assets, preprocess, inference, postprocess
    traceback: str = ""
    kind: str = "run_failed"  # the workbench error kind


class OutputRef(Record):
    """One output of a run: a dataset, or a text that ``postprocess`` returned and that names no dataset.

    A function of a pipeline also gives small plain values, and objects that only its process has; its outputs have names.
    Several of one name belong together: the slices of a stack.
    """

    dataset: str | None = None
    text: str | None = None
    name: str = ""
    value: Any = None  # a plain value
    is_value: bool = False
    is_dict: bool = False  # what was given is all keys of the dataset, not its one array
    held: str = ""  # the class of an object that is kept nowhere


class NodeRecord(Record):
    """A step of a pipeline in the record of a run of it."""

    name: str  # its path: ``outer/inner`` in a nested pipeline
    kind: str  # algorithm, function or step
    label: str  # what it does: name@major.minor, or the name of a function
    version: str = ""  # of a function or step, as short as people read it
    sources: tuple[
        tuple[str, str], ...
    ] = ()  # who gives what it reads (empty: the pipeline's input), and its name
    outputs: tuple[str, ...] = ()
    status: str = "PENDING"  # a RunStatus, or SKIPPED where something before it has failed
    run: str = ""  # the id of its run, once there is one
    reused: bool = False
    seconds: float | None = None
    error: str = ""


class RunRecord(Record):
    """One execution of an algorithm revision: ``runs/<id>.json``; its log is ``runs/<id>.log``."""

    id: str
    algorithm: str  # name@major.minor, or the folder of a debug run
    algorithm_name: str
    revision: str | None = None  # revision id; None for a debug run of a folder
    status: RunStatus = RunStatus.PENDING
    inputs: tuple[str, ...] = ()
    parameters: dict[str, Any] = Field(default_factory=dict)
    outputs: tuple[OutputRef, ...] = ()
    template: str | None = None  # where the notebook came from that was run; executed it is runs/<id>.ipynb
    progress: Progress = Progress()
    error: ErrorRecord | None = None
    executor: str = "kernel"
    device: str = "cpu"
    device_reason: str = ""
    session: str | None = None
    debug: bool = False
    timeout_s: float | None = None
    retries: int = 0
    retryable: bool | tuple[str, ...] = (
        True  # of a call: the errors that are worth one; of an algorithm its revision says
    )
    phases: dict[str, float] = Field(default_factory=dict)  # phase -> seconds
    longest_silence_s: float = 0.0  # without log line or progress
    warnings: tuple[str, ...] = ()
    environment: dict[str, Any] = Field(default_factory=dict)
    reuse: str = "never"  # what was asked for: never, auto or only
    reuse_key: str = ""  # digest of all that the result depends on; empty: not to be used again
    reuse_parts: dict[str, str] = Field(default_factory=dict)  # what the key is made of, a digest each
    resumed_from: str | None = None  # the run that did not complete and that this one goes on with
    checkpoint: str | None = None  # the first of those runs: the results of its phases are kept under its id
    seed: int | None = None  # of its random numbers
    seeded: tuple[str, ...] = ()  # whose random numbers began from it, and went to this run alone
    replays: str | None = None  # the run that this one computes again
    content: str = ""  # of a folder's run: digest of its place and files; of a call: of what it means
    code: str = ""  # of a call: ``code/<code>.py`` is what its function or step is made of again
    no_code: str = ""  # of a call: why nothing of that could be kept
    reused_from: str | None = None  # the run that computed these outputs, if this one did not
    pid: int | None = None
    pid_started: float | None = None  # start time of that process: pid alone is no identity
    host: str = ""
    worker_pid: int | None = None  # the process that computed it, where that is not `pid`
    worker_started: float | None = None
    kernel_pid: int | None = None  # the process that asked for it, where that is not `pid`
    user: str = ""
    tags: tuple[str, ...] = ()
    sweep: str | None = None  # the sweep it belongs to, and which of its points it computes
    point: int | None = None
    records: dict[str, Any] = Field(default_factory=dict)  # what it has recorded by name, beside its outputs
    pipeline: str | None = None  # the run of the pipeline that it is a node of, and which of its nodes
    node: str = ""
    nodes: tuple[NodeRecord, ...] = ()  # of a run of a pipeline
    pipeline_outputs: tuple[tuple[str, str], ...] = ()  # of such a run: which node gives each output
    call: str = ""  # of a node's run: function or step, where it is no algorithm
    function: str = (
        ""  # where such a function can be imported from, ``module:name``; what its code means is ``content``
    )
    # what a call was made with, under the position of each; what a pipeline was given, under the name of each input
    arguments: tuple[OutputRef, ...] = ()
    # the runs that gave what is no dataset of theirs: plain values and objects that a call read, the training of a step that predicts
    sources: tuple[str, ...] = ()
    version: str = ""  # of a step: ``name@1.2.0`` where that is saved, else its digests in short
    priority: int = 0
    created: datetime
    started: datetime | None = None
    finished: datetime | None = None

    @property
    def seconds(self) -> float | None:
        """Return the wall seconds from start to end, or None before the end."""
        if self.started is None or self.finished is None:
            return None
        return (self.finished - self.started).total_seconds()


class SessionRecord(Record):
    """A session: ``sessions/<name>.json``. Its items never lie in the store."""

    name: str
    token: str  # a session that is made again under the same name has another
    created: datetime
    host: str = ""  # the machine whose memory holds the items


class SweepPoint(Record):
    """One point of a sweep."""

    parameters: dict[str, Any]  # every one with its value, checked
    run: str = ""  # the run that computes it; known before it is started
    inputs: tuple[str, ...] = ()  # of its own, where the sweep goes over inputs
    input: str = ""  # how they are called in tables


class SweepRecord(Record):
    """Many runs of one thing over a list of points: ``sweeps/<id>.json``. What became of them, their runs say."""

    id: str
    name: str = ""
    kind: Literal["algorithm", "template"] = "algorithm"
    what: str  # the reference, folder or template as it was named, to be looked up again
    label: str  # name@major.minor, the folder, or the template's name
    content: str  # digest of what the runs of the points computed: another one makes them be computed again
    inputs: tuple[str, ...] = ()  # of all points
    varied: tuple[str, ...] = ()  # names of the parameters that differ between points
    points: tuple[SweepPoint, ...]
    notes: tuple[str, ...] = ()  # what was noticed about the points
    executor: str = "process"
    jobs: int = 2
    fail_fast: bool = False
    reuse: str = "auto"
    device: str | None = None
    timeout_s: float | None = None
    retries: int = 0
    priority: int = 0
    tags: tuple[str, ...] = ()
    user: str = ""
    created: datetime


class EntryKind(StrEnum):
    """What the files of an entry are."""

    DATA = "data"
    CANDIDATES = "candidates"
    MODELS = "models"


class Promotion(Record):
    """Where an entry was before it was moved."""

    domain: str
    kind: EntryKind
    version: int
    path: str = ""  # of a file by reference that was moved with it
    moved: datetime


class MadeBy(Record):
    """What made the file of an entry: a version of a step or pipeline, or a run."""

    kind: Literal["step", "pipeline", "run"]
    name: str  # of the step or pipeline; the algorithm of a run
    id: str = ""  # of a run
    number: str = ""  # of a version: 1.2.0
    major: str = ""  # its digests
    minor: str = ""
    patch: str = ""

    @property
    def parent(self) -> str:
        """Return what stands for it among the parents of the entry."""
        return self.id or f"{self.kind}:{self.name}@{self.number}"

    def __str__(self) -> str:
        return f"{self.name} ({self.id})" if self.id else f"{self.name}@{self.number}"


class EntryRecord(Record):
    """A catalogued file, one of those in ``entries/<application>/<domain>/<kind>/<version>.json``."""

    id: str
    application: str
    domain: str
    kind: EntryKind
    version: int
    name: str  # of the file
    digest: str
    size: int
    path: str = ""  # of a file by reference, relative to the workspace where it lies near it; a copy has none
    metadata: dict[str, Any] = Field(default_factory=dict)
    parents: tuple[str, ...] = ()  # ids of what it was made from
    made_by: MadeBy | None = None
    promotions: tuple[Promotion, ...] = ()
    created: datetime
    trashed: datetime | None = None
    changed: datetime | None = None  # when it last became something else

    @property
    def file_key(self) -> str:
        """Return the key of a copy in ``files/``: its digest and the suffix that other programs look at."""
        return f"{self.digest}{PurePath(self.name).suffix.lower()}"

    @property
    def age(self) -> tuple[datetime, int]:
        """Return what tells the newer of two states of one entry: it is greater."""
        return self.changed or self.created, len(self.promotions)

    @property
    def place(self) -> str:
        """Return what entries with the same file have in common: the key of a copy, or where a file by reference lies."""
        return f"at {self.path}" if self.path else self.file_key


class EntryVersion(Record):
    """All entries of one version. It stays when the last one is purged: no version is allocated twice."""

    entries: tuple[EntryRecord, ...] = ()
    purged: tuple[str, ...] = ()  # ids of what was purged here, in case a killed move has left it elsewhere


class BundleFile(Record):
    """A file of a bundle; its bytes are ``bundle-files/<digest>``."""

    digest: str
    size: int
    mtime_ns: int  # nanoseconds since 1970, when it was last changed where it came from
    executable: bool | None = (
        None  # by its owner; None: from a disk or a version of workbench that does not know
    )


class BundleRecord(Record):
    """One version of a bundle: ``bundles/<name>/<version>.json``. A deleted one stays, without files: no version is given twice."""

    id: str
    bundle: str  # the same for all its versions
    name: str
    version: int
    files: dict[str, BundleFile] = Field(default_factory=dict)  # by path
    folders: tuple[str, ...] = ()  # paths of those that are empty
    count: int = 0  # of files
    size: int = 0  # of all files, bytes
    what: str = "all"  # what of the folder was pushed
    message: str = ""
    parents: tuple[str, ...] = ()  # ids of what it was made from
    user: str = ""
    created: datetime
    deleted: datetime | None = None


class StepKind(StrEnum):
    """What has versions that are counted from the newest."""

    STEP = "step"
    PIPELINE = "pipeline"


class StepRecord(Record):
    """A step or pipeline whose versions are kept: ``steps/<kind>/<name>.json``."""

    name: str
    kind: StepKind = StepKind.STEP
    origin: str = ""  # module:Class of a step that has its name from its class
    last_step: str = ""  # of a pipeline: the step that gives its result
    created: datetime


class StepVersionRecord(Record):
    """One version of a step or pipeline: ``steps/<kind>/<name>/<number>.json``."""

    step: str
    kind: StepKind = StepKind.STEP
    number: tuple[int, int, int]
    major: str  # the digests
    minor: str
    patch: str
    made: float  # when the code was made or trained, in seconds since 1970
    fields: dict[str, FieldRecord] | None = None  # None: only the digests are known
    data: str = ""  # digest of its bytes, models/<step>/<digest>; empty where none are kept
    size: int = 0
    trained_by: str = ""  # the run that trained it
    nodes: dict[str, str] = Field(default_factory=dict)  # of a pipeline: node -> step@number
    created: datetime
    deleted: datetime | None = None  # the number is not given again


class LinkRecord(Record):
    """What says that a step worked with a version of another.

    ``links/<downstream>/<upstream>/<number>.json``, and for one version of the step ``.../<number>/<downstream number>.json``.
    """

    downstream: str
    upstream: str
    number: tuple[int, int, int]  # of the upstream step
    downstream_number: tuple[int, int, int] | None = None  # None: whichever it has
    digests: tuple[str, str] = ("", "")  # of the upstream and the downstream version that were meant
    created: datetime
