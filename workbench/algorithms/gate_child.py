"""The clean process of the deploy gate: scans pickles, imports the Runner class, and writes down what it found."""

from __future__ import annotations

import inspect
import io
import json
import os
import sys
import traceback
import zipfile
from pathlib import Path
from typing import Any

from workbench.algorithms.declarations import Findings
from workbench.errors import InvalidAlgorithmError, WorkbenchError
from workbench.models import AlgorithmType
from workbench.versions import version_of

PICKLES = (".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".joblib", ".npy", ".npz")

_COMPRESSED = (
    b"\x78\x01",
    b"\x78\x5e",
    b"\x78\x9c",
    b"\x78\xda",
    b"\x1f\x8b",
    b"BZh",
    b"\x5d\x00",
    b"\xfd7zX",
    b"\x04\x22M\x18",
)


def main(request: dict[str, Any]) -> None:
    """Do what the request says and end the process, whatever threads the import left behind."""
    findings = Findings()
    result: dict[str, Any] = {"problems": findings.problems, "warnings": findings.warnings, "done": False}
    _scan(request["assets"], findings)
    _save(result)  # what was found so far outlives a crash of the import
    _look(request, findings, result)
    result["done"] = True
    _save(result)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _save(result: dict[str, Any]) -> None:
    temporary = Path("result.json.new")
    temporary.write_text(json.dumps(result), encoding="utf-8")
    temporary.replace("result.json")


def _look(request: dict[str, Any], findings: Findings, result: dict[str, Any]) -> None:
    from workbench.algorithms.loader import PackageSource, load_runner_class

    folder = Path.cwd()
    data = Path("package.zip").read_bytes()
    runner, class_name = request["runner"], request["runner_class"]
    try:
        source = PackageSource(data, request["digest"], request["label"])
        cls = load_runner_class(source, runner, class_name, compox=request["compox"])
    except BaseException as error:  # also SystemExit and KeyboardInterrupt of the imported code
        os.chdir(folder)
        findings.problem(_explain(error, data, runner))
        return
    os.chdir(folder)
    _look_at_class(cls, f"{class_name} in {runner}", findings, result)


def _look_at_class(cls: type, what: str, findings: Findings, result: dict[str, Any]) -> None:
    if _owner(cls, "inference").startswith("workbench.runners"):
        findings.problem(f"{what} has no inference. Add: def inference(self, data, args={{}}): ...")
    family = next(base for base in cls.__mro__ if base.__module__.startswith("workbench.runners"))
    name = family.__name__.removesuffix("Runner")
    result["family"] = name if name in set(AlgorithmType) else AlgorithmType.GENERIC.value
    fields = version_of(cls).fields or {}
    result["fields"] = {
        n: {"kind": f.kind.value, "digest": f.digest, "shown": f.shown} for n, f in fields.items()
    }
    model = getattr(cls, "Parameters", None)
    if inspect.isclass(model):
        from pydantic import BaseModel

        if not issubclass(model, BaseModel):
            findings.warn(f"The class Parameters of {what} is no pydantic model and declares nothing.")
            return
        from workbench.algorithms.from_model import read_model

        specs = read_model(model, findings)
        result["parameters"] = [spec.model_dump(mode="json") for spec in specs]


def _owner(cls: type, method: str) -> str:
    return next((base.__module__ for base in cls.__mro__ if method in vars(base)), "")


def _explain(error: BaseException, package: bytes, runner: str) -> str:
    if isinstance(error, InvalidAlgorithmError) and error.problems:
        return error.problems[0]
    if isinstance(error, WorkbenchError):
        return str(error)
    where = _where(error, _sources(package)) or runner
    kind = "cannot be imported" if isinstance(error, ImportError) else "fails at import"
    return f"{where} {kind}: {type(error).__name__}: {error}. Mend that line."


def _sources(package: bytes) -> dict[str, list[str]]:
    with zipfile.ZipFile(io.BytesIO(package)) as archive:
        return {n: archive.read(n).decode("utf-8", errors="replace").splitlines() for n in archive.namelist()}


def _in_package(filename: str, code: dict[str, list[str]]) -> str:
    matches = [path for path in code if filename == path or filename.replace("\\", "/").endswith(f"/{path}")]
    return max(matches, key=len, default=filename)


def _where(error: BaseException, code: dict[str, list[str]]) -> str | None:
    """Return ``file:line: source`` of the last frame in the package."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = _in_package(frame.filename, code)
        if path in code and frame.lineno and frame.lineno <= len(code[path]):
            return f"{path}:{frame.lineno} ({code[path][frame.lineno - 1].strip()[:80]})"
    return None


def _scan(assets: dict[str, str], findings: Findings) -> None:
    candidates = {path: file for path, file in assets.items() if path.lower().endswith(PICKLES)}
    if not candidates:
        return
    import logging

    from picklescan.scanner import SafetyLevel, scan_file_path

    logging.getLogger("picklescan").setLevel(logging.CRITICAL + 1)
    for path, file in candidates.items():
        try:
            scanned = scan_file_path(file)
        except Exception as error:
            findings.warn(
                f"Asset {path!r} cannot be scanned: {type(error).__name__}: {error}. Load it only if you know it."
            )
            continue
        names = {
            level: sorted(f"{g.module}.{g.name}" for g in scanned.globals if g.safety is level)
            for level in SafetyLevel
        }
        if dangerous := names[SafetyLevel.Dangerous]:
            findings.problem(
                f"Asset {path!r} is a pickle that can run anything when it is loaded: it names {', '.join(dangerous[:5])}. "
                "Save plain arrays (.npz) or a state_dict instead, or deploy with check=False if you made it."
            )
        elif suspicious := names[SafetyLevel.Suspicious]:
            findings.warn(
                f"Asset {path!r} is a pickle that names {', '.join(suspicious[:5])}: load it only if you know who made it."
            )
        elif scanned.scan_err or _is_compressed(file):
            findings.warn(
                f"Asset {path!r} cannot be scanned as a pickle. Load it only if you know who made it."
            )


def _is_compressed(file: str) -> bool:
    """Tell whether a scanner would see nothing: compressed by zlib, gzip, bz2, lzma, xz or lz4, as joblib does."""
    with Path(file).open("rb") as stream:
        return stream.read(4).startswith(_COMPRESSED)
