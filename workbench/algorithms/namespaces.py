"""An import namespace per algorithm version: the same module name, ``utils`` say, means something else in each.

The modules of a version are ordinary submodules of a private top-level package, ``workbench_algorithm_<digest>``, found
by a finder on ``sys.meta_path``; Python's own machinery runs them, with its locks, relative and circular imports, and
its tidying after a failed import. So that ``import helper`` finds ``workbench_algorithm_<digest>.helper``, each module
has its own ``__builtins__`` whose ``__import__`` looks into the namespace first; this also holds for imports inside
functions and threads. No plain name enters ``sys.modules``, ``sys.path`` is never touched, no source text is edited.

Left alone: code that looks a local module up by its plain name on other ways, such as ``sys.modules["helper"]`` or the
pickle of a whole object whose class was saved as ``helper.Net``.
"""

from __future__ import annotations

import builtins
import importlib
import importlib.util
import io
import linecache
import re
import sys
import threading
import zipfile
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, Protocol

from workbench import compat
from workbench.errors import DamagedError

PREFIX = "workbench_algorithm_"
_ROOT = re.compile(PREFIX + r"(?P<digest>[0-9A-Za-z]+)(?P<compox>_compox)?(_in_(?P<folder>[0-9a-f]+))?")


class CodeSource(Protocol):
    """Where the Python files of one algorithm version come from."""

    @property
    def label(self) -> str: ...

    @property
    def identity(self) -> str: ...

    def paths(self) -> list[str]: ...

    def read(self, path: str) -> bytes | None: ...

    def has_code_in(self, folder: str) -> bool: ...

    def file_name(self, path: str) -> str: ...


class PackageSource:
    """The code of a deployed version.

    Parameters
    ----------
    package : bytes
        The zip of its ``.py`` files.
    digest : str
        Letters and digits. Sources of one digest share their modules, and with them module-level state; versions with
        the same code but other assets should therefore come with different ones.
    label : str
        How tracebacks name it, e.g. ``"denoise@1.0"``.
    """

    def __init__(self, package: bytes, digest: str, label: str = "algorithm") -> None:
        self.label = label
        self.identity = digest
        try:
            with zipfile.ZipFile(io.BytesIO(package)) as archive:
                self._files = {
                    name: archive.read(name) for name in archive.namelist() if name.endswith(".py")
                }
        except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError) as error:
            raise DamagedError(
                f"The package of {label} ({digest}) is no zip file: {error}. Deploy it again."
            ) from error

    def paths(self) -> list[str]:
        """Return the paths of the Python files."""
        return sorted(self._files)

    def read(self, path: str) -> bytes | None:
        """Return a file, or None if there is none."""
        return self._files.get(path)

    def has_code_in(self, folder: str) -> bool:
        """Tell whether a Python file lies below this folder."""
        return any(path.startswith(f"{folder}/") for path in self._files)

    def file_name(self, path: str) -> str:
        """Return what tracebacks show: no file on disk, and different for each version."""
        return f"<{self.label} {self.identity[:8]}>/{path}"


class FolderSource:
    """The code of a folder that is being written; breakpoints and ``%debug`` reach the real files.

    Parameters
    ----------
    folder : str or Path
    digest : str
        Of its content, letters and digits: another digest is another version, with modules of its own.
    """

    def __init__(self, folder: str | Path, digest: str) -> None:
        self.folder = Path(folder).resolve()
        self.label = self.folder.name
        where = blake2b(str(self.folder).encode(), digest_size=4).hexdigest()
        self.identity = f"{digest}_at_{where}"

    def paths(self) -> list[str]:
        """Return the paths of the Python files."""
        return sorted(p.relative_to(self.folder).as_posix() for p in self.folder.rglob("*.py"))

    def read(self, path: str) -> bytes | None:
        """Return a file, or None if there is none."""
        try:
            return (self.folder / path).read_bytes()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None

    def has_code_in(self, folder: str) -> bool:
        """Tell whether a Python file lies below this folder."""
        return any((self.folder / folder).rglob("*.py"))

    def file_name(self, path: str) -> str:
        """Return the path of the file on disk."""
        return str(self.folder / path)


class Namespace:
    """The modules of one algorithm version.

    Parameters
    ----------
    source : CodeSource
    compox : bool
        Serve the names of Compox, too.
    folder : str
        Where the Runner lies, ``""`` at the top: its neighbours are found by their plain names, as are those at the top.
    """

    def __init__(self, source: CodeSource, compox: bool, folder: str) -> None:
        self.source = source
        self.compox = compox
        self.root = (
            f"{PREFIX}{source.identity}"
            + "_compox" * compox
            + (f"_in_{folder.encode().hex()}" if folder else "")
        )
        self.lock = threading.RLock()
        self._prefixes = [f"{self.root}.{folder.replace('/', '.')}", self.root] if folder else [self.root]
        self._private_names: dict[str, str | None] = {}
        self._importlib = _ImportlibView(self)
        self.builtins = {**vars(builtins), "__import__": self._import}

    def forget(self) -> None:
        """Remove every module of the namespace, so that the next import starts afresh."""
        for name in [n for n in sys.modules if n == self.root or n.startswith(f"{self.root}.")]:
            del sys.modules[name]
        for file_name in [n for n in linecache.cache if self.path_of(n) is not None]:
            linecache.cache.pop(file_name, None)

    def without_root(self, text: str) -> str:
        """Return a message of Python's with the names that the author of the algorithm knows."""
        return text.replace(f"{self.root}.", "").replace(self.root, self.source.label)

    def path_of(self, file_name: str | None) -> str | None:
        """Return the path in the folder of a file that a traceback names, or None if it is not the algorithm's."""
        start = self.source.file_name("x")[:-1]
        if file_name is None or not file_name.startswith(start):
            return None
        return file_name.removeprefix(start).replace("\\", "/")

    def locate(self, full_name: str) -> tuple[str, bool] | None:
        """Return (path, is package) of a module of this namespace; a folder without ``__init__.py`` is a package, too."""
        path = full_name[len(self.root) + 1 :].replace(".", "/")
        if not path:
            return "", True
        if self.source.read(f"{path}/__init__.py") is not None:
            return f"{path}/__init__.py", True
        if self.source.read(f"{path}.py") is not None:
            return f"{path}.py", False
        return (path, True) if self.source.has_code_in(path) else None

    def private_name(self, name: str) -> str | None:
        """Return the full name of the module that ``name`` means in here, or None if it comes from elsewhere."""
        top, dot, rest = name.partition(".")
        if top not in self._private_names:
            names = (f"{prefix}.{top}" for prefix in self._prefixes)
            self._private_names[top] = next((n for n in names if self.locate(n) is not None), None)
        private = self._private_names[top]
        return None if private is None else private + dot + rest

    def import_module(self, name: str, package: str | None = None) -> ModuleType:
        """``importlib.import_module`` as the algorithm sees it."""
        private = None if name.startswith(".") else self.private_name(name)
        if private is None and self._is_alias(name):
            return compat.find(name)
        return importlib.import_module(private or name, package)

    def _is_alias(self, name: str) -> bool:
        return self.compox and name.partition(".")[0] in compat.TOP_NAMES

    def _import(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        try:
            # An empty *list* comes only from C code that imports for itself, in whatever frame it was called.
            if level or (isinstance(fromlist, list) and not fromlist):
                return builtins.__import__(name, globals, locals, fromlist or (), level)
            private = self.private_name(name)
            if private is not None and not _means_outside(name, private, globals):
                module = builtins.__import__(private, globals, locals, fromlist or ("__name__",), 0)
                return module if fromlist else sys.modules[str(self.private_name(name.partition(".")[0]))]
            if self._is_alias(name):
                alias = compat.find(name)
                return alias if fromlist else compat.find(name.partition(".")[0])
            module = builtins.__import__(name, globals, locals, fromlist or (), 0)
            return self._importlib if module is importlib else module
        except ImportError as error:
            error.msg = self.without_root(error.msg) if isinstance(error.msg, str) else error.msg
            raise


def _means_outside(name: str, private: str, importer: Mapping[str, Any] | None) -> bool:
    """Tell whether a module asks for its own name, as a local ``types.py`` does with ``from types import ...``."""
    if importer is None or importer.get("__name__") != private or "__path__" in importer:
        return False
    return name in sys.stdlib_module_names or importlib.util.find_spec(name) is not None


class _ImportlibView(ModuleType):
    """``importlib`` as an algorithm sees it: ``import_module`` knows the local modules."""

    def __init__(self, space: Namespace) -> None:
        super().__init__("importlib", importlib.__doc__)
        self.import_module = space.import_module

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib, name)


class _Loader:
    """Runs one module with the builtins of its namespace."""

    def __init__(self, space: Namespace, path: str, is_package: bool) -> None:
        self._space = space
        self._path = path
        self._is_package = is_package

    def is_package(self, fullname: str) -> bool:
        return self._is_package

    def get_filename(self, fullname: str) -> str:
        return self._space.source.file_name(self._path)

    def get_source(self, fullname: str) -> str:
        data = self._space.source.read(self._path) if self._path.endswith(".py") else b""
        if data is None:
            raise ImportError(f"{self._path} is gone from {self._space.source.label}.", name=fullname)
        return importlib.util.decode_source(data)

    def get_code(self, fullname: str) -> CodeType:
        data = (self._space.source.read(self._path) if self._path.endswith(".py") else None) or b""
        return compile(data, self.get_filename(fullname), "exec", dont_inherit=True)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        vars(module)["__builtins__"] = self._space.builtins
        if module.__name__ == self._space.root:
            vars(module)["__getattr__"] = self._from_init
        if not self._path.endswith(".py"):
            return
        if isinstance(
            self._space.source, PackageSource
        ):  # for tracebacks, inspect and debuggers: there is no file
            name, text = self.get_filename(module.__name__), self.get_source(module.__name__)
            linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
        exec(self.get_code(module.__name__), vars(module))

    def _from_init(self, name: str) -> Any:
        """Return a name of the folder's own ``__init__.py``, which is run when something asks for it."""
        init = f"{self._space.root}.__init__"
        is_special = name.startswith("__") and name != "__all__"
        if (
            not is_special
            and self._space.locate(init)
            and not self._space.locate(f"{self._space.root}.{name}")
        ):
            module = importlib.import_module(init)
            if hasattr(module, name):
                return getattr(module, name)
        raise AttributeError(f"{self._space.source.label} has no module or name {name!r}", name=name)


class _Finder:
    """Finds the modules of every namespace; comes first, so that no other finder reads a debugged folder."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith(PREFIX):
            return None
        space = _space_of(fullname.partition(".")[0])
        found = space.locate(fullname) if space is not None else None
        if space is None or found is None:
            return None
        file, is_package = found
        loader: Any = _Loader(space, file, is_package)  # importlib.abc would cost more imports than it gives
        spec = ModuleSpec(fullname, loader, origin=space.source.file_name(file), is_package=is_package)
        spec.has_location = file.endswith(".py")
        if is_package:
            spec.submodule_search_locations = [space.source.file_name(file.removesuffix("/__init__.py"))]
        return spec


_spaces: dict[str, Namespace] = {}
_spaces_lock = threading.Lock()
_source_finder: Callable[[str], CodeSource | None] | None = None
sys.meta_path.insert(0, _Finder())


def namespace(source: CodeSource, compox: bool, folder: str) -> Namespace:
    """Return the namespace of a source; the same one for the same digest."""
    space = Namespace(source, compox, folder)
    with _spaces_lock:
        return _spaces.setdefault(space.root, space)


def set_source_finder(finder: Callable[[str], CodeSource | None] | None) -> None:
    """Say where code comes from when an object of a version that this process has not loaded is unpickled.

    Parameters
    ----------
    finder : callable, optional
        Takes the digest of a `PackageSource` and returns the source, or None if it is unknown.
    """
    global _source_finder
    _source_finder = finder


def _space_of(root: str) -> Namespace | None:
    space = _spaces.get(root)
    match = _ROOT.fullmatch(root)
    if space is not None or match is None or _source_finder is None:
        return space
    source = _source_finder(match["digest"])
    if source is None:
        return None
    return namespace(source, match["compox"] is not None, bytes.fromhex(match["folder"] or "").decode())
