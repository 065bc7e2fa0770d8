"""Versions and hardware that a run was made with."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

from dfkdbench import __version__
from dfkdbench.plan import Plan
from dfkdbench.registry import CORE


def environment(plan: Plan) -> dict[str, Any]:
    """Versions and hardware of this start. Not part of the run id."""
    packages = ("torch", "torchvision", "numpy", "safetensors", *sorted(plan.participants - {CORE}))
    return {
        "packages": {CORE: __version__, **{name: _version_of(name) for name in packages}},
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "hardware": hardware_name(plan.device),
        "cores": os.cpu_count(),
    }


def _version_of(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def hardware_name(device: str) -> str:
    """The accelerator's name, or the processor's with its number of cores."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(torch.device(device))
    return f"{_processor()} ({os.cpu_count()} cores)"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
