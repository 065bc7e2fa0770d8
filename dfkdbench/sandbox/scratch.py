"""Where a sealed process keeps its caches and temporary files: the home folder and /tmp are closed to it."""

from __future__ import annotations

import site
from pathlib import Path

from dfkdbench.sandbox.errors import SandboxError

_FOLDERS = {
    "TMPDIR": "tmp",
    "HOME": "home",
    "XDG_CACHE_HOME": "cache",
    "XDG_CONFIG_HOME": "config",
    "XDG_DATA_HOME": "data",
    "TORCH_HOME": "torch",
    "TORCH_EXTENSIONS_DIR": "torch_extensions",
    "TORCHINDUCTOR_CACHE_DIR": "inductor",
    "TRITON_HOME": "triton_home",
    "TRITON_CACHE_DIR": "triton",
    "CUDA_CACHE_PATH": "cuda",
    "MPLCONFIGDIR": "matplotlib",
    "NUMBA_CACHE_DIR": "numba",
    "HF_HOME": "huggingface",
}
LONGEST_TEMPORARY = 107 - len("/pymp-12345678/listener-12345678")
"""Characters of TMPDIR that leave room for the sockets of data loader workers: a socket's path has 107 at most."""


def scratch_environment(folder: Path, temporary: Path | None = None) -> dict[str, str]:
    """Makes the folders and gives the environment variables that send caches and temporary files there.

    PYTHONPYCACHEPREFIX is not among them: with it Python ignores the byte code beside installed modules and compiles
    torch anew. Python that can't write byte code goes on without a word.

    Args:
        folder: The run's scratch folder, writable in the policy.
        temporary: Another folder for TMPDIR, also writable, where the path of `folder` is long.

    Raises:
        SandboxError: Where the path for TMPDIR is too long for sockets.
    """
    places = {variable: folder.resolve() / name for variable, name in _FOLDERS.items()}
    if temporary is not None:
        places["TMPDIR"] = temporary.resolve()
    if len(str(places["TMPDIR"])) > LONGEST_TEMPORARY:
        raise SandboxError(
            f"TMPDIR {places['TMPDIR']} has {len(str(places['TMPDIR']))} characters; data loader workers need at most "
            f"{LONGEST_TEMPORARY} for their sockets. Pass a shorter `temporary` folder."
        )
    for place in places.values():
        if place.is_symlink() or not place.is_dir():  # what an earlier worker left there
            place.unlink(missing_ok=True)
        place.mkdir(parents=True, exist_ok=True)
    environment = {variable: str(place) for variable, place in places.items()}
    if site.ENABLE_USER_SITE:
        environment["PYTHONUSERBASE"] = site.getuserbase()  # else a new HOME hides `pip install --user`
    else:
        environment["PYTHONNOUSERSITE"] = (
            "1"  # else the next start runs what a worker left in its HOME, before the seal
        )
    return environment
