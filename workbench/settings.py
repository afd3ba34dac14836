"""Settings: defaults < ``workbench.toml`` < environment < arguments. No other module reads the environment."""

from __future__ import annotations

import json
import os
import re
import sys
import tomllib
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ByteSize, ConfigDict, Field, ValidationError

from workbench.errors import InvalidInputError, did_you_mean

FILE_NAME = "workbench.toml"
PREFIX = "WORKBENCH_"
_SECRET = "storage_options"  # may hold a password, and is shown nowhere
DEVICE = re.compile(r"auto|cpu|mps|(cuda|gpu)(:\d+)?")


def _checked_device(text: str) -> str:
    if not DEVICE.fullmatch(text):
        raise ValueError("it is no device; write auto, cpu, gpu, cuda, cuda:1 or mps")
    return text


class Settings(BaseModel):
    """Every setting of a workspace. The environment name is ``WORKBENCH_`` and the field's name in capitals."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str | None = Field(None, description="Workspace: folder, file://, memory:// or s3://bucket/prefix")
    catalog: str | None = Field(
        None, description="SQLAlchemy URL of the catalog; default: SQLite in the workspace"
    )
    storage_options: dict[str, Any] = Field(
        default_factory=dict, description="Options for the fsspec file system"
    )
    executor: str = Field("kernel", description="Where runs happen unless said otherwise")
    device: Annotated[str, AfterValidator(_checked_device)] = Field(
        "auto", description="Compute device: auto, cpu, cuda, cuda:1, mps"
    )
    durability: Literal["process", "fsync"] = Field(
        "process", description="process: survives kill -9; fsync: survives a power cut too"
    )
    compression: Literal["none", "gzip", "lzf"] = Field("none", description="Compression of new datasets")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Lowest level kept in run logs"
    )
    reuse: Literal["never", "auto", "only"] = Field(
        "never",
        description="Completed runs that stand for one you start: never, auto (where there is one), only",
    )
    sweep_reuse: Literal["never", "auto", "only"] = Field(
        "auto", description="The same in sweeps and pipelines"
    )
    runner_cache: int = Field(4, ge=1, description="Loaded Runners kept warm in a process")
    workers: int = Field(
        default_factory=lambda: os.cpu_count() or 1, ge=1, le=1000, description="Background runs at once"
    )
    memory_budget: ByteSize | None = Field(
        None,
        ge=1,
        description="Bytes ('8 GiB') that background runs may declare together; default: all of the machine's",
    )
    share_gpu: bool = Field(False, description="Let several background runs use one GPU at a time")
    cancel_grace_s: float = Field(
        5.0, gt=0, description="Seconds that a cancelled background run gets before it is killed"
    )
    host_idle_s: float = Field(600.0, gt=0, description="Seconds without a run after which the run host ends")
    host_folder: str | None = Field(
        None, description="Private folder for the run host's socket; default: in the system's runtime folder"
    )
    host_environment: tuple[str, ...] = Field(
        ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"),
        description="Environment variables that a background run takes from the kernel",
    )
    notebook_preload: tuple[str, ...] = Field(
        ("numpy", "h5py", "pandas", "matplotlib", "torch"),
        description="Modules that notebooks find imported already, where they are installed",
    )
    data_cache: ByteSize = Field(
        ByteSize(256 << 20),
        ge=0,
        description="Bytes of fetched arrays kept in a process; large ones of a folder are mapped instead",
    )
    page_size: int = Field(50, ge=1, le=1000, description="Items on a page of a listing")
    session_folder: str | None = Field(
        None,
        description="Where session items live; default: /dev/shm where it is large, else the user's cache folder",
    )
    session_spill: str | None = Field(
        None,
        description="Disk folder for items that find no room, or 'none'; default: the user's cache folder",
    )
    session_items: int | None = Field(None, ge=1, description="Most items of a session; default: no limit")
    session_bytes: ByteSize | None = Field(
        None, ge=1, description="Most bytes of a session; default: no limit"
    )
    session_quota: ByteSize | None = Field(
        None, ge=1, description="Most bytes of all sessions in session_folder; default: half of the place"
    )
    session_spill_quota: ByteSize | None = Field(
        None,
        ge=0,
        description="Most bytes of all sessions in session_spill; default: a quarter of its free space",
    )
    session_hours: float | None = Field(
        168.0, gt=0, description="Hours after its last use when a session expires"
    )
    threads: int = Field(
        default_factory=lambda: min(8, os.cpu_count() or 1),
        ge=1,
        description="Threads for parallel reads and writes",
    )


class Source(BaseModel):
    """A setting's value and where it came from."""

    value: Any
    origin: str
    description: str

    @property
    def text(self) -> str:
        """The value for people."""
        if isinstance(self.value, ByteSize):
            return self.value.human_readable(separator=" ")
        return "" if self.value is None else str(self.value)


def load(
    arguments: Mapping[str, Any] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    start: Path | None = None,
) -> tuple[Settings, dict[str, Source]]:
    """Return the settings in force, and for each where its value came from.

    Parameters
    ----------
    arguments : mapping, optional
        Values that win over everything; None values are ignored.
    environ : mapping, optional
        The environment; default ``os.environ``.
    start : Path, optional
        Where the search for ``workbench.toml`` begins, upwards; default: the current folder.

    Raises
    ------
    InvalidInputError
        For an unknown or wrong setting, with the file or variable it came from.
    """
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}

    def take(found: Mapping[str, Any], origin: str) -> None:
        for key, value in found.items():
            if key not in Settings.model_fields:
                raise InvalidInputError(
                    f"Setting {key!r} from {origin} is not known.{did_you_mean(key, Settings.model_fields)}"
                    f" Known: {', '.join(Settings.model_fields)}."
                )
            values[key] = value
            origins[key] = origin

    file = find_file(start or _here())
    if file is not None:
        try:
            table = tomllib.loads(file.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InvalidInputError(f"{file} is not valid TOML: {error}. Mend that line.") from error
        take(table, str(file))
        if isinstance(values.get("url"), str) and "://" not in values["url"]:
            values["url"] = str((file.parent / Path(values["url"]).expanduser()).resolve())
    names = {PREFIX + key.upper(): key for key in Settings.model_fields}
    for name, key in names.items():
        if name in environ:
            take({key: _parse(key, environ[name])}, f"${name}")
    _warn_of({name for name in environ if name.startswith(PREFIX)} - names.keys(), names)
    take({k: v for k, v in (arguments or {}).items() if v is not None}, "argument")
    try:
        settings = Settings(**values)
    except ValidationError as error:
        key = str(error.errors()[0]["loc"][0])
        value = type(values[key]).__name__ if key == _SECRET else repr(values[key])
        raise InvalidInputError(
            f"Setting {key!r} is {value} (from {origins[key]}), expected {accepted(key)}.{_near(key, values[key])} "
            f"It means: {Settings.model_fields[key].description}."
        ) from error
    sources = {
        key: Source(
            value=getattr(settings, key),
            origin=origins.get(key, "default"),
            description=field.description or "",
        )
        for key, field in Settings.model_fields.items()
    }
    return settings, sources


def accepted(key: str) -> str:
    """Return what a setting may be, for people.

    >>> accepted("workers"), accepted("durability"), accepted("share_gpu")
    ('a whole number from 1 to 1000', 'process or fsync', 'true or false')
    """
    field = Settings.model_fields[key]
    if key == "device":
        return "auto, cpu, gpu, cuda, cuda:1 or mps"
    words = _choices(key)
    if words:
        return f"{', '.join(words[:-1])} or {words[-1]}"
    annotation = next((a for a in (ByteSize, bool, int, float, dict, tuple) if a in _types(key)), str)
    kind = {
        ByteSize: "a number of bytes, or a text such as '8 GiB' or '500 MB'",
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        dict: 'a table; in the environment JSON such as \'{"key": "..."}\'',
        tuple: "a list of names; in the environment with commas between them",
        str: "text",
    }[annotation]
    limits = {type(limit).__name__.lower(): limit for limit in field.metadata}
    least, more, most = (getattr(limits.get(name), name, None) for name in ("ge", "gt", "le"))
    if (least, more, most) == (None, None, None) or (annotation is ByteSize and not least):
        return kind
    if most is not None:
        return f"{kind} from {least} to {most}"
    return f"{kind}, {least} or more" if more is None else f"{kind} larger than {more}"


def _types(key: str) -> set[Any]:
    """Return what the type of a setting is made of, without what the elements of containers are."""
    annotation = Settings.model_fields[key].annotation
    return {get_origin(one) or one for one in (annotation, *get_args(annotation))} - {type(None)}


def _choices(key: str) -> tuple[str, ...]:
    annotation = Settings.model_fields[key].annotation
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def _near(key: str, value: Any) -> str:
    """Return a hint where a word was nearly right."""
    words = _choices(key)
    same = next((word for word in words if word.casefold() == str(value).casefold()), None)
    return f" Did you mean {same!r}?" if same else did_you_mean(str(value), words) if words else ""


_warned: set[str] = set()


def _warn_of(unknown: Iterable[str], known: Iterable[str]) -> None:
    """Warn, once in a process, of variables that look like settings; they may be those of another program."""
    for name in sorted(set(unknown) - _warned):
        _warned.add(name)
        warnings.warn(
            f"${name} is no setting of workbench and is ignored.{did_you_mean(name, known)} "
            "`workbench settings` lists them all.",
            stacklevel=4,
        )


def _here() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:  # it was deleted under us
        return Path("/")


def find_file(start: Path) -> Path | None:
    """Return the nearest ``workbench.toml`` in this folder or one above."""
    for folder in (start, *start.parents):
        candidate = folder / FILE_NAME
        if candidate.is_file():
            return candidate
    return None


def _parse(key: str, text: str) -> Any:
    if key in ("host_environment", "notebook_preload"):
        return tuple(name.strip() for name in text.split(",") if name.strip())
    if key != _SECRET:
        return text
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise InvalidInputError(
            f"${PREFIX}{key.upper()} is not valid JSON: {error}. Expected {accepted(key)}."
        ) from error


def default_url() -> str:
    """Return the workspace of someone who named none: a folder in the user's data folder."""
    import platformdirs

    return str(Path(platformdirs.user_data_dir("workbench", appauthor=False)) / "default")


def notebook_path(environ: Mapping[str, str] | None = None) -> str | None:
    """Return the notebook that the Jupyter server started this kernel for, or None where none is known."""
    return (os.environ if environ is None else environ).get("JPY_SESSION_NAME") or None


def chosen_environment(names: Iterable[str]) -> dict[str, str | None]:
    """Return the values of environment variables, None for those that are not set."""
    return {name: os.environ.get(name) for name in names}


def all_environment() -> Mapping[Any, Any]:
    """Return the environment of this process as it is, for `restore_environment`."""
    return _encoded(os.environ).copy()


def restore_environment(before: Mapping[Any, Any]) -> None:
    """Bring the environment back to what it was."""
    now = _encoded(os.environ)
    if now != before:
        for name in [name for name in now if name not in before]:
            del os.environ[os.fsdecode(name)]
        os.environ.update({os.fsdecode(name): os.fsdecode(value) for name, value in before.items()})


def _encoded(environment: Any) -> dict[Any, Any]:
    """Return the variables as they lie in memory: to decode all of them takes longer than the rest of a short run."""
    found: dict[Any, Any] = getattr(environment, "_data", None) or dict(environment)
    return found


def enter_environment(values: Mapping[str, str | None]) -> None:
    """Set environment variables of this process, and unset those that are None."""
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def replace_environment(values: Mapping[str, str]) -> None:
    """Give this process these environment variables and no others."""
    os.environ.clear()
    os.environ.update(values)


def environment_here() -> dict[str, str]:
    """Return the environment of this process."""
    return dict(os.environ)


def interpreter_environment() -> dict[str, str]:
    """Return the environment for another interpreter that is to import what this one imports."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
