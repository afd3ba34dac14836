"""From the code of an algorithm version to its Runner class, with a message for everything that can be wrong."""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
from pathlib import PurePosixPath
from types import ModuleType, TracebackType

from workbench import compat
from workbench.algorithms.namespaces import (
    CodeSource,
    FolderSource,
    Namespace,
    PackageSource,
    namespace,
    set_source_finder,
)
from workbench.errors import InvalidAlgorithmError, MissingPackageError, did_you_mean
from workbench.runners import BaseRunner

__all__ = [
    "CodeSource",
    "FolderSource",
    "PackageSource",
    "load_runner_class",
    "missing_package",
    "set_source_finder",
]

# what to install where the name of the import is not the name of the package
_DISTRIBUTIONS = {
    "torch": "'jupyter-workbench[torch]'",
    "torchvision": "torchvision",
    "cv2": "opencv-python-headless",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "PIL": "pillow",
    "yaml": "pyyaml",
    "Bio": "biopython",
    "SimpleITK": "SimpleITK",
}


def load_runner_class(
    source: CodeSource, runner: str = "Runner.py", class_name: str = "Runner", compox: bool = False
) -> type[BaseRunner]:
    """Import the Runner of an algorithm version in a namespace of its own.

    A version is imported once per process; asking again gives the same class. After a failure nothing half imported
    stays, so the next call tries anew.

    Parameters
    ----------
    source : CodeSource
        `PackageSource` or `FolderSource`.
    runner : str
        Path of the file in the folder.
    class_name : str
        Name of the class in it.
    compox : bool
        The folder is written for Compox: what it imports from there comes from workbench, even if Compox is installed.

    Raises
    ------
    InvalidAlgorithmError
        If there is not exactly one such class that derives from BaseRunner and has all its methods.
    MissingPackageError
        If it imports a package that is not installed; the message says how to install it.
    """
    path = PurePosixPath(runner)
    if (
        path.suffix != ".py"
        or ".." in path.parts
        or path.is_absolute()
        or any("." in part for part in path.parent.parts)
    ):
        raise _invalid(
            source,
            f"runner is {runner!r}, expected the path of a Python file in folders without dots, like 'src/Runner.py'.",
        )
    folder = "" if path.parent == PurePosixPath() else str(path.parent)
    space = namespace(source, compox, folder)
    with space.lock:
        is_first = space.root not in sys.modules
        try:
            _check_source(space, str(path), class_name)
            module = importlib.import_module(".".join([space.root, *path.parent.parts, path.stem]))
            return _check_class(space, module, str(path), class_name)
        except BaseException as error:
            if is_first:
                space.forget()
            explained = _explained(space, error)
            if explained is None:
                raise
            raise explained from error


def missing_package(
    error: ModuleNotFoundError, where: str = "The algorithm", hint: str = ""
) -> MissingPackageError:
    """Return the error that says how to install what an import did not find.

    Parameters
    ----------
    error : ModuleNotFoundError
    where : str
        Who imports it, e.g. ``"Runner.py, line 3,"``.
    hint : str
        What else may be wrong; begins with a space.
    """
    package = (error.name or str(error)).partition(".")[0]
    # where a module of the folder was meant, installing a stranger of that name would do harm
    install = "" if hint else f" Install it: pip install {_DISTRIBUTIONS.get(package, package)}"
    return MissingPackageError(
        f"{where} imports {error.name!r}, but package {package!r} is not installed.{hint}{install}",
        package=package,
    )


def _check_source(space: Namespace, path: str, class_name: str) -> None:
    data = space.source.read(path)
    if data is None:
        paths = space.source.paths()
        raise _invalid(
            space.source,
            f"There is no {path}.{did_you_mean(path, paths)} Python files: {', '.join(paths[:10]) or 'none'}. "
            f'Write the class {class_name} there, or name its file by runner = "..." in pyproject.toml.',
        )
    tree = ast.parse(data, space.source.file_name(path))
    lines = [str(n.lineno) for n in tree.body if isinstance(n, ast.ClassDef) and n.name == class_name]
    if len(lines) > 1:
        raise _invalid(
            space.source,
            f"{path} defines class {class_name} {len(lines)} times, lines {', '.join(lines)}. Keep one.",
        )


def _check_class(space: Namespace, module: ModuleType, path: str, class_name: str) -> type[BaseRunner]:
    cls = getattr(module, class_name, None)
    if cls is None:
        others = [
            name
            for name, value in vars(module).items()
            if isinstance(value, type)
            and issubclass(value, BaseRunner)
            and value.__module__ == module.__name__
        ]
        found = f"it defines {' and '.join(others)}" if others else "no class in it derives from BaseRunner"
        raise _invalid(
            space.source,
            f"{path} has no class {class_name}; {found}. Name the class of the algorithm {class_name}.",
        )
    if not isinstance(cls, type):
        raise _invalid(
            space.source, f"{class_name} in {path} is {type(cls).__name__} {cls!r:.40}, expected a class."
        )
    if not issubclass(cls, BaseRunner):
        bases = ", ".join(base.__name__ for base in cls.__bases__)
        raise _invalid(
            space.source,
            f"Class {class_name} in {path} derives from {bases}, expected BaseRunner or one of its family. "
            f"Write: from workbench.runners import BaseRunner, and class {class_name}(BaseRunner)."
            + (" Folders written for Compox need a [tool.compox] table." if _is_of_compox(cls) else ""),
        )
    if cls.__abstractmethods__:
        missing = ", ".join(
            name for name in ("preprocess", "inference", "postprocess") if name in cls.__abstractmethods__
        )
        missing = missing or ", ".join(sorted(cls.__abstractmethods__))
        raise _invalid(
            space.source,
            f"Class {class_name} in {path} lacks {missing}. Write them, or derive from a typed runner such as "
            "Image2ImageRunner, which needs inference only.",
        )
    required = [
        p.name
        for p in list(inspect.signature(cls.__init__).parameters.values())[1:]
        if p.default is p.empty and p.kind not in {p.VAR_POSITIONAL, p.VAR_KEYWORD}
    ]
    if required:
        raise _invalid(
            space.source,
            f"__init__ of class {class_name} in {path} needs {', '.join(required)}, but it is called without arguments. "
            "Give them defaults; what a run needs comes in args.",
        )
    return cls


def _is_of_compox(cls: type) -> bool:
    return any(base.__module__.partition(".")[0] in compat.TOP_NAMES for base in cls.__mro__)


def _explained(space: Namespace, error: BaseException) -> Exception | None:
    """Return the error that says what to do, or None if this one is the algorithm's own and says it best."""
    where = _importing_line(space, error.__traceback__)
    if isinstance(error, SyntaxError):
        path = space.path_of(error.filename)
        if path is None and error.filename is not None:
            return None  # in an installed package
        place = where.removesuffix(",") if path is None else f"{path}, line {error.lineno}"
        line = (error.text or "").strip()
        shown = f": {line[:80]}" if line else ""
        return _invalid(space.source, f"{place}: {error.msg}{shown}. Mend that line.")
    if isinstance(error, SystemExit):
        return _invalid(
            space.source,
            f"{where} exits Python while it is imported. Put the call under if __name__ == '__main__':.",
        )
    if not isinstance(error, ImportError):
        return None
    local = [p.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for p in space.source.paths()]
    name = error.name or ""
    if name == space.root or name.startswith(f"{space.root}."):
        wanted = name.removeprefix(f"{space.root}.")
        what = space.without_root(error.msg or str(error))
        return _invalid(
            space.source, f"{where} does not find what it imports: {what}.{did_you_mean(wanted, local)}"
        )
    if not isinstance(error, ModuleNotFoundError) or not name:
        return None
    if space.compox and name.partition(".")[0] in compat.TOP_NAMES:
        return _invalid(space.source, f"{where.removesuffix(',')}: {error}")
    hint = did_you_mean(name, local)
    if name.partition(".")[0] == "compox":
        hint = " If the folder is written for Compox, add the table [tool.compox] to its pyproject.toml."
    return missing_package(error, where, hint)


def _importing_line(space: Namespace, traceback: TracebackType | None) -> str:
    """Return ``"Runner.py, line 3,"``: the last line of the algorithm that ran."""
    where = space.source.label
    while traceback is not None:
        path = space.path_of(traceback.tb_frame.f_code.co_filename)
        if path is not None:
            where = f"{path}, line {traceback.tb_lineno},"
        traceback = traceback.tb_next
    return where


def _invalid(source: CodeSource, message: str) -> InvalidAlgorithmError:
    return InvalidAlgorithmError(f"{message} Algorithm: {source.label}.", problems=[message])
