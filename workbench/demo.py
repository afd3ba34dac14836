"""``workbench demo``: the main job end to end on real images, and a page with the pictures."""

from __future__ import annotations

import base64
import html
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import MissingPackageError, WorkspaceError

if TYPE_CHECKING:
    import numpy as np

    from workbench.execution.run import Run
    from workbench.workspace import Workspace

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 980px; margin: 2rem auto; padding: 0 1rem; color: #1f2328; background: #fff }
h1 { font-size: 1.6rem } h2 { font-size: 1.15rem; margin: 2.2rem 0 .2rem } p { margin: .2rem 0 }
.facts { color: #59636e; font-size: .9rem } .row { display: flex; flex-wrap: wrap; gap: 1rem; margin: .8rem 0 }
figure { margin: 0 } img { max-width: 100%; border-radius: 4px; display: block } figcaption { font-size: .85rem; color: #59636e }
pre { background: #f6f8fa; padding: .6rem .8rem; overflow-x: auto; border-radius: 6px; font-size: .85rem }
@media (prefers-color-scheme: dark) { body { background: #0d1117; color: #e6edf3 } pre { background: #161b22 }
  .facts, figcaption { color: #9198a1 } }
table { border-collapse: collapse; font-size: .9rem } th, td { padding: .2rem .9rem .2rem 0 }
"""


@dataclass(frozen=True, slots=True)
class Example:
    """One example: which images go in, with which parameters, and what to show of the run."""

    algorithm: str
    title: str
    images: Callable[[], np.ndarray]
    parameters: dict[str, Any]
    show: Callable[[np.ndarray, Run], list[tuple[str, np.ndarray, str]]]  # caption, array, key


def examples_folder() -> Path:
    """Return the folder with the quickstart and the example algorithms: of the checkout, or of the installed package.

    Raises
    ------
    WorkspaceError
        If there is none.
    """
    package = Path(__file__).resolve().parent
    for folder in (package.parent / "notebooks", package / "notebooks"):
        if (folder / "quickstart.ipynb").is_file():
            return folder
    raise WorkspaceError(
        "The example notebooks are missing from this installation. Install jupyter-workbench again."
    )


def make_demo(folder: Path, say: Callable[[str], None] = print) -> Path:
    """Deploy the example algorithms, run them on real images, execute the quickstart and write ``index.html``.

    Parameters
    ----------
    folder : Path
        Where the page, the executed notebook and the workspace go. What an earlier demo left there is replaced.
    say : callable
        Told what is being done.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    MissingPackageError
        If scikit-image, which brings the images, is not installed.
    WorkspaceError
        If the folder holds something that is no demo.
    """
    from workbench.workspace import open as open_workspace

    _need("skimage", "pip install 'jupyter-workbench[examples]'")
    folder = folder.resolve()
    if folder.exists() and any(folder.iterdir()):
        if not (folder / "workspace" / "workbench.json").is_file():
            raise WorkspaceError(f"{folder} is not empty and holds no earlier demo. Give another folder.")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    source = examples_folder()
    sections = []
    with open_workspace(folder / "workspace") as workspace:
        for manifest in sorted((source / "algorithms").glob("*/pyproject.toml")):
            algorithm = workspace.algorithms.deploy(manifest.parent)
            say(f"deployed {algorithm.revision.ref}: {algorithm.description}")
        for example in EXAMPLES:
            images = example.images()
            run = workspace.run(example.algorithm, images, example.parameters, echo=False)
            run.result()
            say(f"ran {run!r}")
            sections.append(_section(example, images, run))
        sections.append(_found_again(workspace))
    say("executing the quickstart notebook")
    notebook = _execute(source / "quickstart.ipynb", folder)
    page = folder / "index.html"
    page.write_text(_page(sections, notebook), encoding="utf-8")
    return page


def _need(module: str, install: str) -> None:
    import importlib.util

    if importlib.util.find_spec(module) is None:
        raise MissingPackageError(
            f"The demo needs {module}, which is not installed. Run: {install}", package=module
        )


def _execute(source: Path, folder: Path) -> Path:
    """Execute a notebook into the folder and return it as HTML, with a picture where a widget was."""
    import nbconvert
    import nbformat
    import papermill

    done = folder / source.name
    papermill.execute_notebook(source, done, cwd=str(folder), progress_bar=False, kernel_name="python3")
    notebook = nbformat.read(done, as_version=4)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if len(output.get("data", {})) > 1:  # a page without a kernel shows what stands beside the widget
                output["data"].pop("application/vnd.jupyter.widget-view+json", None)
    text, _ = nbconvert.HTMLExporter().from_notebook_node(notebook)
    target = done.with_suffix(".html")
    target.write_text(text, encoding="utf-8")
    return target


def _section(example: Example, images: np.ndarray, run: Run) -> str:
    from workbench.library.preview import picture

    figures = []
    for caption, array, key in example.show(images, run):
        png = picture(array, key, size=300)
        if png is not None:
            data = base64.b64encode(png).decode()
            figures.append(
                f'<figure><img alt="{html.escape(caption)}" src="data:image/png;base64,{data}">'
                f"<figcaption>{html.escape(caption)}</figcaption></figure>"
            )
    record = run.record
    facts = f"{record.algorithm} · {record.seconds:.2f} s on {record.device} · run {record.id}"
    values = ", ".join(f"{k}={v}" for k, v in record.parameters.items())
    log = "\n".join(run.log.lines()[-6:])
    return (
        f"<h2>{html.escape(example.title)}</h2><p class=facts>{html.escape(facts)}</p>"
        f"<p class=facts>{html.escape(values)}</p><div class=row>{''.join(figures)}</div><pre>{html.escape(log)}</pre>"
    )


def _found_again(workspace: Workspace) -> str:
    from workbench.pages import html_table

    rows = [
        {k: row[k] for k in ("id", "algorithm", "status", "seconds", "outputs")}
        for row in workspace.runs.list().rows()
    ]
    return f"<h2>Found again</h2><p class=facts>ws.runs.list()</p>{html_table(rows)}"


def _page(sections: list[str], notebook: Path) -> str:
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>Workbench demo</title><style>{_STYLE}</style><h1>Workbench demo</h1>"
        "<p>Example algorithms, deployed from their folders and run on real images. "
        f"The quickstart notebook, executed: <a href='{notebook.name}'>{notebook.name}</a>.</p>"
        f"{''.join(sections)}</html>"
    )


def _grey(name: str) -> np.ndarray:
    import numpy as np
    import skimage.data

    image = getattr(skimage.data, name)().astype(np.float32)
    return np.asarray(image.mean(axis=-1) if image.ndim == 3 else image)


def _noisy(name: str, sigma: float) -> np.ndarray:
    import numpy as np

    image = _grey(name)
    noise = np.random.default_rng(0).normal(0.0, sigma, image.shape)
    return np.asarray(image + noise, dtype=np.float32)


def _drifting(name: str, count: int = 6) -> np.ndarray:
    """Return a stack in which each slice has drifted on by some pixels."""
    import numpy as np

    image = _grey(name)
    steps = np.random.default_rng(1).integers(-9, 10, (count, 2)).cumsum(axis=0)
    return np.stack([np.roll(image, tuple(step), (0, 1))[40:-40, 40:-40] for step in steps])


def _before_after(images: np.ndarray, run: Run) -> list[tuple[str, np.ndarray, str]]:
    return [("noisy input", images, "image"), ("result", run.result(), "image")]


def _labels(images: np.ndarray, run: Run) -> list[tuple[str, np.ndarray, str]]:
    mask = run.datasets[0]["mask"]
    return [("input", images, "image"), (f"{int(mask.max())} objects", mask, "mask")]


def _unseen_halves() -> np.ndarray:
    """Return the halves of three pictures that the network was not trained on, side by side."""
    import numpy as np

    return np.hstack([_grey(name)[:, 256:] for name in ("brick", "gravel", "grass")])


def _textures(images: np.ndarray, run: Run) -> list[tuple[str, np.ndarray, str]]:
    return [("brick, gravel, grass", images, "image"), ("found by texture", run.result(), "mask")]


def _aligned(images: np.ndarray, run: Run) -> list[tuple[str, np.ndarray, str]]:
    import numpy as np

    total, aligned = np.eye(3), [images[0]]
    for image, output in zip(images[1:], run.datasets, strict=True):
        total = total @ output["transform_matrix"]
        dx, dy = (round(v) for v in total[:2, 2])
        aligned.append(np.roll(image, (dy, dx), (0, 1)))
    return [
        ("mean of the drifting stack", images.mean(axis=0), "image"),
        ("mean after registration", np.mean(aligned, axis=0), "image"),
    ]


EXAMPLES = (
    Example("denoise", "Remove noise", lambda: _noisy("camera", 20.0), {}, _before_after),
    Example(
        "segment",
        "Find and measure objects",
        lambda: _grey("coins"),
        {"background_radius": 40, "min_area": 100},
        _labels,
    ),
    Example("register", "Register a drifting stack", lambda: _drifting("hubble_deep_field"), {}, _aligned),
    Example("texture", "Tell textures apart with a small network (torch)", _unseen_halves, {}, _textures),
)
