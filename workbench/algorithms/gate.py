"""The deploy gate: an algorithm is imported in a clean process, and what was found is its verdict."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from workbench.algorithms.declarations import Findings
from workbench.algorithms.manifest import Manifest
from workbench.models import AlgorithmType, ParameterSpec, Record, Verdict, now

#: Seconds an import may take: torch from a cold disk on a busy machine needs a good part of it.
TIMEOUT_S = 120.0
_OUTPUT_KEPT = 64 * 1024
_START = (
    "import json, sys; request = json.load(open('request.json', encoding='utf-8')); sys.path[:] = request['path']; "
    "from workbench.algorithms.gate_child import main; main(request)"
)


class GateReport(Record):
    """What the gate found: the verdict, and facts of the Runner class that the toml may have left out."""

    verdict: Verdict
    type: AlgorithmType | None = None
    parameters: tuple[ParameterSpec, ...] | None = None


def check(
    package: bytes,
    digest: str,
    manifest: Manifest,
    assets: Mapping[str, Path],
    *,
    timeout_s: float = TIMEOUT_S,
) -> GateReport:
    """Import the Runner class of a package in a clean process and look at it, and scan its pickles.

    Parameters
    ----------
    package : bytes
        The zip of the code.
    digest : str
        Its digest.
    manifest : Manifest
        Says where the Runner is and what is declared.
    assets : mapping
        Path in the folder to local file; those that are pickles are scanned, never loaded.
    timeout_s : float
        Seconds after which the import counts as endless and is killed.

    Returns
    -------
    GateReport
        ``verdict.ok`` is False if it cannot be deployed; nothing is raised for that.
    """
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="workbench-gate-") as name:
        folder = Path(name)
        (folder / "package.zip").write_bytes(package)
        request = {
            # '' is the notebook's folder, which is no part of the algorithm
            "path": [*(p for p in sys.path if p), str(Path(__file__).parents[2])],
            "digest": digest,
            "label": manifest.ref,
            "runner": manifest.runner,
            "runner_class": manifest.runner_class,
            "compox": manifest.compox,
            "assets": {path: str(file) for path, file in assets.items()},
        }
        (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
        ended = _run(folder, timeout_s)
        findings = Findings()
        found: dict[str, Any] = {}
        if (folder / "result.json").exists():
            found = json.loads((folder / "result.json").read_text(encoding="utf-8"))
            findings.problems += found["problems"]
            findings.warnings += found["warnings"]
    output = ended.output.decode("utf-8", errors="replace").strip()
    if not found.get("done"):
        findings.problem(_ending(ended, manifest, timeout_s, output))
    elif output:
        findings.warn(f"The import prints: {_short(output)}")
    type_, parameters = _facts(found, manifest, findings)
    verdict = Verdict(
        ok=not findings.problems,
        problems=tuple(findings.problems),
        warnings=tuple(findings.warnings),
        checked=now(),
        seconds=round(time.perf_counter() - begin, 3),
        python=python_version(),
        workbench=workbench_version(),
        fields=found.get("fields"),
    )
    return GateReport(verdict=verdict, type=type_, parameters=parameters)


def is_current(verdict: Verdict) -> bool:
    """Tell whether a verdict was given by this Python and this workbench."""
    return (verdict.python, verdict.workbench) == (python_version(), workbench_version())


def python_version() -> str:
    """Return the version of this Python, such as ``3.12.4``."""
    return sys.version.split()[0]


@lru_cache(maxsize=1)
def workbench_version() -> str:
    """Return the version of the installed workbench, or an empty text where it runs from its sources."""
    try:
        return metadata.version("jupyter-workbench")
    except metadata.PackageNotFoundError:
        return ""


class _Ended:
    def __init__(self, code: int | None, output: bytes) -> None:
        self.code = code  # None: killed after the time-out
        self.output = output


def _run(folder: Path, timeout_s: float) -> _Ended:
    process = subprocess.Popen(
        [sys.executable, "-X", "faulthandler", "-c", _START],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # so that what the import starts ends with it
    )
    kept = bytearray()
    reader = threading.Thread(target=_drain, args=(process, kept), daemon=True)
    reader.start()
    try:
        code: int | None = process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        code = None
    finally:
        _kill(process)
    reader.join(5)
    return _Ended(code, bytes(kept))


def _drain(process: subprocess.Popen[bytes], kept: bytearray) -> None:
    assert process.stdout is not None
    with process.stdout as stream:
        while block := stream.read1(65536):  # type: ignore[attr-defined]  # a BufferedReader
            kept += block
            del kept[:-_OUTPUT_KEPT]


def _kill(process: subprocess.Popen[bytes]) -> None:
    if sys.platform == "win32":
        process.kill()
    else:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _ending(ended: _Ended, manifest: Manifest, timeout_s: float, output: str) -> str:
    said = f" It said: {_short(output)}" if output else ""
    if ended.code is None:
        return (
            f"Importing {manifest.runner} did not end within {timeout_s:g} s and was killed. Move work from the module's "
            f"top level into load_assets or inference.{said}"
        )
    if ended.code < 0:
        try:
            name = signal.Signals(-ended.code).name
        except ValueError:
            name = f"signal {-ended.code}"
        hint = " (often: no memory left)" if name == "SIGKILL" else ""
        return (
            f"Importing {manifest.runner} crashed the interpreter: {name}{hint}. Import the packages it uses one by one "
            f"to find the one that does it.{said}"
        )
    return (
        f"Importing {manifest.runner} ended the interpreter with exit code {ended.code}. Remove the call that ends it "
        f"from the module's top level.{said}"
    )


def _facts(
    found: Mapping[str, Any], manifest: Manifest, findings: Findings
) -> tuple[AlgorithmType | None, tuple[ParameterSpec, ...] | None]:
    family = AlgorithmType(found["family"]) if found.get("family") else None
    if (
        family
        and manifest.type not in (AlgorithmType.UNDEFINED, family)
        and family is not AlgorithmType.GENERIC
    ):
        findings.warn(
            f"algorithm_type is {manifest.type.value}, but {manifest.runner_class} derives from {family.value}Runner. "
            f'Write algorithm_type = "{family.value}", or derive from another class.'
        )
    if found.get("parameters") is None:
        return family, None
    if manifest.parameters:
        findings.problem(
            f"Parameters are declared twice: in pyproject.toml and as the class {manifest.runner_class}.Parameters. "
            "Keep one of them."
        )
    return family, tuple(ParameterSpec.model_validate(spec) for spec in found["parameters"])


def _short(text: str) -> str:
    return text if len(text) <= 600 else f"{text[:250]} … {text[-340:]}"
