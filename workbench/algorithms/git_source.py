"""The git checkout around an algorithm folder: its commit, and what was not committed, kept so that a clone can be made the same.

The package of an algorithm is its code, whatever git says. This is for what surrounds it: notebooks, modules and data of the
repository that the folder was developed with.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from workbench.algorithms.package import digest
from workbench.errors import AlreadyExistsError, InvalidInputError, NotFoundError, UnsupportedError
from workbench.models import GitSource, Revision
from workbench.settings import environment_here

#: bytes of all changed files together; the largest are left out first
LIMIT = 8 << 20
READ_S, CLONE_S = 30.0, 3600.0  # what a deploy waits for git, and what a clone may take
_MISLEADING = {
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
}  # of a hook
_PROTOCOLS = "file:git:http:https:ssh"  # a URL from elsewhere starts no program


class Git:
    """Calls git in a folder.

    Parameters
    ----------
    folder : Path
    timeout_s : float
        For each call.
    **variables
        Environment variables beside those of the process.
    """

    def __init__(self, folder: Path, timeout_s: float = READ_S, **variables: str) -> None:
        self._folder = folder
        self._timeout_s = timeout_s
        quiet = {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "GIT_LITERAL_PATHSPECS": "1"}
        inherited = {k: v for k, v in environment_here().items() if k not in _MISLEADING}
        self._variables = {**inherited, **quiet, "GIT_ALLOW_PROTOCOL": _PROTOCOLS, **variables}

    def __call__(self, *words: str, given: bytes | None = None) -> bytes:
        """Return what git writes.

        Raises
        ------
        UnsupportedError
            With git's own words, if it fails or is not there.
        """
        try:
            done = subprocess.run(
                ["git", "-C", str(self._folder), *words],
                input=given if given is not None else b"",
                capture_output=True,
                env=self._variables,
                timeout=self._timeout_s,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise UnsupportedError(f"git could not be called: {error}. Install git, or try again.") from error
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip() or f"it ended with {done.returncode}"
            raise UnsupportedError(f"git {words[0]} in {self._folder} failed: {said}")
        return done.stdout

    def line(self, *words: str) -> str:
        """Return the one line that git writes; empty if it fails."""
        try:
            return self(*words).decode(errors="replace").strip()
        except UnsupportedError:
            return ""


def read_git(folder: Path, files: Iterable[str]) -> tuple[GitSource, bytes] | None:
    """Return the commit around a folder, and what differs from it as a patch; None outside of a checkout.

    The patch holds all changes of files that git knows, and the files of the folder that it does not. Nothing in the
    repository is written, not even its index.

    Parameters
    ----------
    folder : Path
    files : iterable of str
        Of the folder, relative to it; they are part of the patch even where git ignores them.
    """
    if not any((above / ".git").exists() for above in (folder, *folder.parents)):
        return None
    git = Git(folder)
    root, commit = git.line("rev-parse", "--show-toplevel"), git.line("rev-parse", "--verify", "HEAD")
    if not root or not commit:
        return None
    top = Path(root)
    git = Git(top)
    path = folder.resolve().relative_to(top.resolve()).as_posix()
    try:
        changed = _split(git("diff", "--name-only", "--no-renames", "-z", "HEAD"))
        own = {os.path.normpath(f"{path}/{file}") for file in files}
        untracked = _split(git("ls-files", "--others", "--exclude-standard", "-z", "--", path))
        ignored = _split(git("ls-files", "--others", "-z", "--", path))
        wanted = dict.fromkeys([*changed, *untracked, *(name for name in ignored if name in own)])
        chosen, left_out = _within_limit(top, list(wanted))
        patch = _patch(git, top, chosen) if chosen else b""
    except UnsupportedError:
        return None
    facts = GitSource(
        commit=commit,
        branch=git.line("rev-parse", "--abbrev-ref", "HEAD"),
        remote=_without_secret(git.line("config", "--get", "remote.origin.url")),
        root=root,
        path=path,
        dirty=bool(wanted),
        diff=digest(patch)[:32] if patch else "",
        files=len(chosen),
        left_out=tuple(left_out),
    )
    return facts, patch


def checkout(
    git: GitSource,
    patch: bytes,
    target: Path,
    source: str | os.PathLike[str] | None,
    advice: str = "algorithm.checkout(folder, source='https://...')",
) -> Path:
    """Clone the repository, go to the commit, apply the patch; return the algorithm's folder in it.

    ``advice`` is how the caller's user names another repository.

    Raises
    ------
    AlreadyExistsError
        If the target is there and not empty.
    NotFoundError, UnsupportedError
        If there is no repository to clone, it lacks the commit, or the patch does not fit.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise AlreadyExistsError(f"{target} is there already. Name a folder that is empty or not there yet.")
    places = [str(source)] if source is not None else [p for p in (git.root, git.remote) if p]
    here = [p for p in places if "://" in p or "@" in p or Path(p).exists()]
    if not here:
        raise NotFoundError(
            f"There is no repository to clone: {' and '.join(places) or 'no place is known'} {'are' if len(places) > 1 else 'is'} "
            f"gone. Name one: {advice}."
        )
    target.mkdir(parents=True, exist_ok=True)
    outside = Git(target.absolute().parent, CLONE_S)
    problem: UnsupportedError | None = None
    for place in here:
        try:
            where = str(Path(place).absolute()) if Path(place).exists() else place
            outside("clone", "--quiet", "--no-checkout", "--", where, str(target.absolute()))
            inside = Git(target, CLONE_S)
            inside("checkout", "--quiet", "--detach", git.commit)
            if patch:
                inside("apply", "--index", "--whitespace=nowarn", "-", given=patch)
            return target / git.path
        except UnsupportedError as error:
            problem = error
            _empty(target)
    target.rmdir()
    raise UnsupportedError(
        f"Commit {git.commit[:10]} could not be had from {' or '.join(here)}: {problem} Name another place: "
        f"{advice}."
    )


def what_differs(folder: Path, revision: Revision) -> list[str]:
    """Return the files of an algorithm folder that are not those of a revision."""
    from workbench.algorithms.package import build_zip, collect, hash_file

    contents = collect(folder)
    assets = {name: hash_file(file)[0] for name, file in contents.assets.items()}
    names = assets.keys() | revision.assets.keys()
    differ = sorted(name for name in names if assets.get(name) != revision.assets.get(name))
    return differ + ([] if digest(build_zip(contents.code)) == revision.package else ["its Python files"])


def _within_limit(top: Path, paths: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return as many files as fit, the small ones first, and those that do not."""

    def size(path: str) -> int:
        try:
            return (top / path).lstat().st_size
        except OSError:  # deleted
            return 0

    chosen: list[str] = []
    left_out: list[str] = []
    room = LIMIT
    for path in sorted(paths, key=lambda p: (size(p), p)):
        room -= size(path)
        (chosen if room >= 0 else left_out).append(path)
    return sorted(chosen), sorted(left_out)


def _patch(git: Git, top: Path, paths: Sequence[str]) -> bytes:
    """Return the difference of files from the commit, made with an index and objects aside."""
    objects = (top / git.line("rev-parse", "--git-path", "objects")).resolve()
    with tempfile.TemporaryDirectory(prefix="workbench-git-") as scratch:
        aside = Git(
            top,
            GIT_INDEX_FILE=f"{scratch}/index",
            GIT_OBJECT_DIRECTORY=f"{scratch}/objects",
            GIT_ALTERNATE_OBJECT_DIRECTORIES=str(objects),
        )
        Path(scratch, "objects").mkdir()
        aside("read-tree", "HEAD")
        given = "\0".join(paths).encode("utf-8", "surrogateescape")
        aside("add", "--all", "--force", "--pathspec-from-file=-", "--pathspec-file-nul", given=given)
        plain = ("--no-ext-diff", "--no-textconv", "--no-color", "--no-renames")
        prefixes = ("--src-prefix=a/", "--dst-prefix=b/")
        return aside("diff", "--cached", "--binary", "--full-index", *plain, *prefixes, "HEAD")


def _split(names: bytes) -> list[str]:
    return [name for name in names.decode("utf-8", "surrogateescape").split("\0") if name]


def _without_secret(url: str) -> str:
    """Return a URL without the name and password in it."""
    if "://" not in url:
        return url
    parts = urlsplit(url)
    if parts.password is None and parts.scheme == "ssh":
        return url
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _empty(folder: Path) -> None:
    import shutil

    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def check_known(revision: Revision) -> GitSource:
    """Return what is known of a revision's checkout.

    Raises
    ------
    InvalidInputError
        If nothing is.
    """
    if revision.git is None:
        raise InvalidInputError(
            f"{revision.ref} ({revision.id}) was not deployed from a git checkout, so there is none to go back to. "
            "Its code is in its package: ws.algorithms.sources(...)."
        )
    return revision.git
