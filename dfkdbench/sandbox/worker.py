"""The policy of a worker: Python, its libraries, the system's, the accelerator and its own run; no home, no data."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from importlib.machinery import all_suffixes
from pathlib import Path

from dfkdbench.sandbox.errors import SandboxError
from dfkdbench.sandbox.policy import Policy, resolved

SYSTEM_FOLDERS = ("/usr", "/lib", "/lib32", "/lib64", "/libx32", "/bin", "/sbin", "/etc", "/nix/store", "/gnu/store")
"""Programs and libraries of the system. Not /opt, /home, /srv, /mnt, /media, /var, /run, /tmp or /root."""

SYSTEM_FILES = (
    "/proc/cpuinfo",
    "/proc/devices",
    "/proc/driver",
    "/proc/filesystems",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/modules",
    "/proc/stat",
    "/proc/sys",
    "/proc/uptime",
    "/proc/version",
    "/sys/bus",
    "/sys/class",
    "/sys/dev",
    "/sys/devices",
    "/sys/fs/cgroup",
    "/sys/kernel/mm",
    "/sys/module",
)
"""What torch, OpenMP and CUDA ask about the machine. No process but the worker itself (`/proc/<pid>`)."""

DEVICES = (
    *("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"),
    *("/dev/dri", "/dev/kfd", "/dev/dxg", "/dev/nvidia-caps"),
)
"""Never /dev as a whole: it holds the raw disks. No terminals: the worker has its three streams. `/dev/nvidia*` is
added where it exists."""

LIBRARY_VARIABLES = ("LD_LIBRARY_PATH", "CUDA_HOME", "CUDA_PATH", "ROCM_HOME", "ROCM_PATH")
SHARED_MEMORY = Path("/dev/shm")


def worker_policy(
    run_reads: Iterable[Path],
    run_writes: Iterable[Path],
    protected: Iterable[Path],
    import_roots: Iterable[Path] = (),
) -> Policy:
    """What a worker may touch, computed by the judge, which shares interpreter and `sys.path` with it.

    Open are: the interpreter's folders, what is importable by `sys.path`, `import_roots`, libraries and
    devices (see the constants above), shared memory, and the run's own folders. The home folder is closed, but for
    an interpreter, an environment or a `sys.path` entry in it.

    An entry of `sys.path` that is the current folder, the home folder, `/`, or lies above the home folder or a run
    folder is not opened whole: it is there because Python was started in it, not because someone installed it.
    Of such an entry only what Python imports from it is granted: its modules and regular packages, and the names
    beneath it, since import finders list folders. Namespace packages and data files beside them need an import root
    of their own. An entry without modules, `/`, and one inside a protected path open nothing. Import roots that
    wide (not counting the current folder) are narrowed the same way.

    `/dev/shm` is left out where it contains a protected path; worker processes of a data loader then fail.

    Args:
        run_reads: Folders and files of the run to read.
        run_writes: Folders of the run to write; they must exist.
        protected: What the worker must never read: data sets, whatever states an accuracy.
        import_roots: Folders of plugin modules outside `sys.path`, such as those installed editable.

    Returns:
        A policy that still names the protected paths: see `expand`.

    Raises:
        SandboxError: Where a run folder to write does not exist.
    """
    reads, writes, closed = resolved(run_reads), resolved(run_writes), resolved(protected)
    for folder in writes:
        if not folder.is_dir():
            raise SandboxError(f"The worker is to write to {folder}, which is no folder. Create it before the seal.")
    apart = (*writes, _home())
    imported, listed = _narrow((root.resolve() for root in import_roots), apart)
    entries = (Path(entry or ".").resolve() for entry in sys.path)
    on_path, listed_on_path = _narrow((entry for entry in entries if not _within(entry, closed)), (*apart, Path.cwd()))
    system = map(Path, (*SYSTEM_FOLDERS, *SYSTEM_FILES))
    on_path = [path for path in on_path if not _within(path, closed)]
    shared_memory = () if _above(SHARED_MEMORY, closed) else (SHARED_MEMORY,)
    return Policy(
        read=_existing((*interpreter_roots(), *imported, *on_path, *system, *_library_roots(apart, closed), *reads)),
        write=_existing((*writes, *shared_memory)),
        protected=closed,
        listed=resolved((*listed, *listed_on_path)),
        devices=_existing((*map(Path, DEVICES), *sorted(Path("/dev").glob("nvidia*")))),
    )


def interpreter_roots() -> tuple[Path, ...]:
    """Where Python and its installed packages are, links resolved."""
    places = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix, sys.executable}
    places |= {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    return _existing(sorted(Path(place) for place in places if place))


def _narrow(roots: Iterable[Path], apart: tuple[Path, ...]) -> tuple[list[Path], list[Path]]:
    """The roots to read, the wide ones replaced by their modules, and those replaced, to list.

    Wide is a root that equals or lies above a path kept `apart`. `/` opens nothing, since to list it is to list all.
    """
    read: list[Path] = []
    listed: list[Path] = []
    for root in roots:
        if not _above(root, apart):
            read.append(root)
        elif root != Path("/") and (modules := _modules(root)):
            read += modules
            listed.append(root)
    return read, listed


def _modules(folder: Path) -> list[Path]:
    """Modules and regular packages that Python would import from a folder, links left out."""
    suffixes = tuple(all_suffixes())
    try:
        with os.scandir(folder) as entries:
            children = sorted(Path(entry.path) for entry in entries if not entry.is_symlink())
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return []
    return [child for child in children if child.name.endswith(suffixes) or _exists(child / "__init__.py")]


def _library_roots(apart: tuple[Path, ...], closed: tuple[Path, ...]) -> Iterator[Path]:
    """Folders of libraries that the environment names, as on clusters with modules; too wide ones are ignored."""
    for variable in LIBRARY_VARIABLES:
        for entry in os.environ.get(variable, "").split(os.pathsep):
            root = Path(entry).resolve()
            if entry and not _above(root, apart) and not _within(root, closed):
                yield root


def _above(root: Path, paths: Iterable[Path]) -> bool:
    """Whether the root equals or lies above one of the paths, or is `/`."""
    return any(path.is_relative_to(root) for path in (*paths, Path("/")))


def _within(path: Path, folders: Iterable[Path]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)


def _home() -> Path:
    return Path("~").expanduser().resolve()


def _existing(paths: Iterable[Path]) -> tuple[Path, ...]:
    return resolved(path for path in paths if _exists(path))


def _exists(path: Path) -> bool:
    """Whether the path is there and within reach; what this user can't reach needs no rule."""
    try:
        return path.exists()
    except PermissionError:
        return False
