"""Which device a run uses."""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import TYPE_CHECKING

from dfkdbench.errors import ConfigError
from dfkdbench.shortcuts import use_shortcuts

if TYPE_CHECKING:
    import torch

_SMALL_IMAGES = 16


def choose_device(wanted: str) -> str:
    """ "auto" is a CUDA device where there is one, else the CPU; anything else is checked.

    Raises:
        ConfigError: The device is unknown or not there.
    """
    import torch

    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(wanted)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"--device '{wanted}' can't be used: {reason} Expected auto, cpu or cuda. See: dfkdbench doctor"
        ) from None
    return wanted


def prepare_torch(device: torch.device, threads: int, shortcuts: Collection[str]) -> None:
    """Sets what the rounding of a network's passes depends on, before anything is built."""
    import torch

    use_shortcuts(shortcuts)
    torch.set_num_threads(threads)
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.deterministic = True


def available_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if "sched_getaffinity" in dir(os) else os.cpu_count() or 1


def fitting_threads(image_size: int) -> int:
    """Threads with which networks of square images of that many pixels a side train fastest here.

    One for the smallest: threads would wait for each other longer than they work.
    """
    return 1 if image_size <= _SMALL_IMAGES else available_cores()


def memory_bytes(device: torch.device) -> int | None:
    """All memory of a device in bytes, used or not; None where it can't be told."""
    if device.type == "cuda":
        import torch

        return int(torch.cuda.get_device_properties(device).total_memory)
    if device.type != "cpu" or "sysconf" not in dir(os):
        return None
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return total if total > 0 else None
