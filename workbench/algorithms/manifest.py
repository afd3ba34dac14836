"""The ``pyproject.toml`` of an algorithm folder → a checked `Manifest`, with every problem at once."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ConfigDict

from workbench.algorithms.declarations import Findings, read_tables
from workbench.algorithms.kinds import shown
from workbench.errors import InvalidAlgorithmError, InvalidInputError, InvalidNameError, did_you_mean
from workbench.models import AlgorithmType, ParameterSpec, Record
from workbench.names import check_key, check_name, parse_size

FILE = "pyproject.toml"
RUNNER = "Runner.py"
CLASS = "Runner"
#: devices an algorithm may declare; ``cuda`` is another word for ``gpu``
DEVICES = ("cpu", "gpu", "mps")
#: switches kept in `Revision.settings`
SWITCHES = ("deterministic", "device_matters", "resumable", "shares_gpu")
_IGNORED = ("check_importable", "obfuscate", "hash_module", "hash_assets")
_KEYS = (
    "algorithm_type",
    "tags",
    "description",
    "supported_devices",
    "default_device",
    "additional_parameters",
)
_LEAST_MEMORY = 1_000_000  # bytes
_OURS = ("parameters", "runner", "retryable", "memory", *SWITCHES)
_VERSION = re.compile(r"(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})(\.[0-9A-Za-z.+-]+)?")


class Manifest(Record):
    """What an algorithm folder says about itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    major: int
    minor: int
    type: AlgorithmType = AlgorithmType.UNDEFINED
    description: str = ""
    tags: tuple[str, ...] = ()
    supported_devices: tuple[str, ...] = ("cpu",)
    default_device: str = "cpu"
    parameters: tuple[ParameterSpec, ...] = ()
    runner: str = RUNNER
    runner_class: str = CLASS
    runner_is_named: bool = False  # the toml says where the Runner is
    has_table: bool = True  # [tool.workbench] or [tool.compox]
    compox: bool = False
    settings: dict[str, Any] = {}

    @property
    def ref(self) -> str:
        """Return ``name@major.minor``."""
        return f"{self.name}@{self.major}.{self.minor}"


def invalid(folder: Path, problems: list[str]) -> InvalidAlgorithmError:
    """Return the one error for all problems of a folder."""
    if len(problems) == 1:
        return InvalidAlgorithmError(f"{folder} cannot be deployed: {problems[0]}", problems=tuple(problems))
    lines = "".join(f"\n- {problem}" for problem in problems)
    return InvalidAlgorithmError(
        f"{folder} cannot be deployed, {len(problems)} things to mend:{lines}", problems=tuple(problems)
    )


def find_manifest(folder: Path, findings: Findings) -> Manifest | None:
    """Return the manifest, or None if it is unusable; what is wrong goes to ``findings``."""
    document = _read_toml(folder / FILE, findings)
    if document is None:
        return None
    before = len(findings.problems)
    project = document.get("project")
    if not isinstance(project, Mapping):
        findings.problem(f'{FILE} has no [project] table. Add:\n[project]\nname = "denoise"\nversion = "1.0"')
        project = {}
        name, version = "", (0, 0)
    else:
        name, version = _name(project, findings), _version(project, findings)
    table, compox, has_table = _table(document, findings)
    reader = _Reader(table, f"[tool.{'compox' if compox else 'workbench'}]", findings)
    reader.check_keys(compox)
    supported, default = _devices(reader)
    runner, runner_class = _runner(reader)
    facts: dict[str, Any] = {
        "type": _type(reader),
        "tags": _tags(reader, compox),
        "description": reader.text("description") or _project_description(project),
        "supported_devices": supported,
        "default_device": default,
        "parameters": tuple(_parameters(reader, compox)),
        "settings": _settings(reader),
    }
    # what is written as empty is meant to be
    if not facts["description"] and "description" not in table:
        findings.warn(
            f'{reader.where} has no description. Add description = "What it does, in one sentence."'
        )
    if not facts["tags"] and "tags" not in table:
        findings.warn(f'{reader.where} has no tags. Add tags = ["denoising"], so that it is found.')
    if len(findings.problems) > before:
        return None
    return Manifest(
        name=name,
        major=version[0],
        minor=version[1],
        runner=runner,
        runner_class=runner_class,
        runner_is_named="runner" in table,
        has_table=has_table,
        compox=compox,
        **facts,
    )


def _read_toml(path: Path, findings: Findings) -> dict[str, Any] | None:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        findings.problem(
            f'There is no {FILE} in {path.parent}. Add one with:\n[project]\nname = "denoise"\nversion = "1.0"\n'
            '\n[tool.workbench]\nalgorithm_type = "Image2Image"'
        )
        return None
    except UnicodeDecodeError as error:
        findings.problem(f"{FILE} is not UTF-8 text: {error.reason} at byte {error.start}. Save it as UTF-8.")
        return None
    except OSError as error:
        findings.problem(f"{FILE} cannot be read: {error.strerror}. Make it a readable file.")
        return None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"line (\d+)", str(error))
        source = text.splitlines()[int(line[1]) - 1].strip() if line else ""
        findings.problem(
            f"{FILE} is not valid TOML: {error}{f': {source[:80]}' if source else ''}. Mend that line."
        )
        return None


def _name(project: Mapping[str, Any], findings: Findings) -> str:
    if "name" not in project:
        findings.problem('[project] has no name. Add name = "denoise".')
        return ""
    try:
        return check_name(project["name"], "[project] name")
    except InvalidNameError as error:
        findings.problem(str(error))
        return ""


def _version(project: Mapping[str, Any], findings: Findings) -> tuple[int, int]:
    version = project.get("version")
    if version is None:
        findings.problem('[project] has no version. Add version = "1.0".')
    elif not isinstance(version, str):
        findings.problem(f'[project] version is {shown(version)}, expected text. Write version = "1.0".')
    elif found := _VERSION.fullmatch(version):
        return int(found[1]), int(found[2])
    else:
        suggestion = f"{version}.0" if version.isascii() and version.isdigit() else "1.0"
        findings.problem(
            f"[project] version is {shown(version)}, expected major.minor or major.minor.patch in numbers. "
            f'Write version = "{suggestion}".'
        )
    return 0, 0


def _table(document: Mapping[str, Any], findings: Findings) -> tuple[Mapping[str, Any], bool, bool]:
    tools = document.get("tool", {})
    found = {
        key: tools[key] for key in ("workbench", "compox") if isinstance(tools, Mapping) and key in tools
    }
    for key, table in found.items():
        if not isinstance(table, Mapping):
            findings.problem(f"tool.{key} is {shown(table)}, expected a table. Write [tool.{key}].")
            return {}, key == "compox", True
    if len(found) == 2:
        findings.problem(f"{FILE} has both [tool.workbench] and [tool.compox]. Keep one of them.")
    if not found:
        near = did_you_mean("workbench", tools) if isinstance(tools, Mapping) else ""
        findings.warn(f"{FILE} has no [tool.workbench] table: all defaults are taken.{near}")
    compox = "workbench" not in found and "compox" in found
    return found.get("workbench", found.get("compox", {})), compox, bool(found)


class _Reader:
    """Typed reading of one table; what has a wrong type becomes a problem and None."""

    def __init__(self, table: Mapping[str, Any], where: str, findings: Findings) -> None:
        self.table = table
        self.where = where
        self.findings = findings

    def check_keys(self, compox: bool) -> None:
        known = (*_KEYS, *_OURS)
        for key in self.table:
            if key in _IGNORED:
                self.switch(key)
            elif key not in known:
                text = f"{self.where} has the unknown key {key!r}.{did_you_mean(key, known)}"
                if compox:
                    self.findings.warn(f"{text} It is ignored.")
                else:
                    self.findings.problem(f"{text} Known: {', '.join(known)}.")

    def wrong(self, key: str, expected: str, write: str) -> None:
        value = shown(self.table[key])
        self.findings.problem(f"{self.where} {key} is {value}, expected {expected}. Write {key} = {write}.")

    def text(self, key: str) -> str:
        value = self.table.get(key, "")
        if not isinstance(value, str):
            self.wrong(key, "text", '"..."')
            return ""
        return value.strip()

    def texts(self, key: str, write: str) -> list[str] | None:
        value = self.table.get(key)
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            self.wrong(key, "a list of texts", write)
            return None
        return value

    def switch(self, key: str) -> bool | None:
        value = self.table.get(key)
        if value is not None and not isinstance(value, bool):
            self.wrong(key, "true or false", "true")
            return None
        return value


def _type(reader: _Reader) -> AlgorithmType:
    value = reader.text("algorithm_type") or AlgorithmType.UNDEFINED.value
    names = [t.value for t in AlgorithmType]
    if value in names:
        return AlgorithmType(value)
    reader.findings.problem(
        f"{reader.where} algorithm_type is {value!r}.{did_you_mean(value, names)} Use one of {', '.join(names)}."
    )
    return AlgorithmType.UNDEFINED


def _tags(reader: _Reader, compox: bool) -> tuple[str, ...]:
    tags = dict.fromkeys(tag.strip() for tag in reader.texts("tags", '["denoising"]') or [])
    for tag in tags:
        try:
            if not compox:
                check_name(tag, f"{reader.where} tag")
            elif not tag or len(tag) > 100 or not tag.isprintable():
                reader.findings.problem(
                    f"{reader.where} has the tag {shown(tag)}. Use 1 to 100 printable characters."
                )
        except InvalidNameError as error:
            reader.findings.problem(str(error))
    return tuple(tags)


def _devices(reader: _Reader) -> tuple[tuple[str, ...], str]:
    given = reader.texts("supported_devices", '["cpu", "gpu"]')
    supported = tuple(dict.fromkeys(_device(d) for d in given)) if given else ("cpu",)
    for device in supported:
        if device not in DEVICES:
            reader.findings.problem(
                f"{reader.where} supported_devices has {device!r}.{did_you_mean(device, DEVICES)} "
                f"Use {', '.join(DEVICES)}."
            )
    default = _device(reader.text("default_device"))
    if not default:
        return supported, "cpu" if "cpu" in supported else supported[0]
    if default not in supported:
        reader.findings.problem(
            f"{reader.where} default_device is {default!r}, which is not in supported_devices {list(supported)}. "
            f'Write default_device = "{supported[0]}" or add it to supported_devices.'
        )
    return supported, default


def _device(word: str) -> str:
    return "gpu" if word.lower() == "cuda" else word.lower()


def _parameters(reader: _Reader, compox: bool) -> list[ParameterSpec]:
    keys = [key for key in ("parameters", "additional_parameters") if key in reader.table]
    if len(keys) == 2:
        reader.findings.problem(
            f"{reader.where} has both parameters and additional_parameters. Keep one of them."
        )
    return read_tables(reader.table[keys[0]], reader.findings, compox=compox) if keys else []


def _runner(reader: _Reader) -> tuple[str, str]:
    path, _, runner_class = (reader.text("runner") or RUNNER).partition(":")
    runner_class = runner_class or CLASS
    try:
        check_key(path, f"{reader.where} runner")
    except InvalidNameError as error:
        reader.findings.problem(str(error).replace("stack-01/image.h5", f"src/{RUNNER}"))
    else:
        if not path.endswith(".py"):
            reader.wrong("runner", "the path of a Python file", f'"src/{RUNNER}"')
    if not runner_class.isidentifier():
        reader.wrong("runner", "a class name behind the ':'", f'"{RUNNER}:{CLASS}"')
    return path, runner_class


def _settings(reader: _Reader) -> dict[str, Any]:
    """Return how runs of the algorithm are to be treated: switches, what is worth another attempt, memory."""
    found: dict[str, Any] = {
        switch: value for switch in SWITCHES if (value := reader.switch(switch)) is not None
    }
    retryable = reader.table.get("retryable")
    if isinstance(retryable, list):
        names = [name for name in retryable if isinstance(name, str) and name.isidentifier()]
        if len(names) < len(retryable):
            reader.wrong("retryable", "names of exceptions", '["OSError", "TimeoutError"]')
        found["retryable"] = names
    elif isinstance(retryable, bool):
        found["retryable"] = retryable
    elif retryable is not None:
        name = retryable if isinstance(retryable, str) and retryable.isidentifier() else "OSError"
        expected = "a list with the names of exceptions after which a run may be tried again, or true for all, false for none"
        reader.wrong("retryable", expected, f'["{name}"]')
    memory = reader.table.get("memory")
    if memory is not None:
        try:
            found["memory"] = parse_size(memory, f"{reader.where} memory")
        except InvalidInputError as error:
            reader.findings.problem(f'{error} Write memory = "4 GB", as much as a run takes at most.')
        else:
            if 0 < found["memory"] < _LEAST_MEMORY:
                reader.findings.warn(
                    f"{reader.where} memory is {shown(memory)}, which is {found['memory']} bytes, less than any run takes. "
                    f'Was a unit left out? Write memory = "{found["memory"]} GB".'
                )
    return found


def _project_description(project: Mapping[str, Any]) -> str:
    value = project.get("description", "")
    return value.strip() if isinstance(value, str) else ""
