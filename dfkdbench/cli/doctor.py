"""`dfkdbench doctor`: what an issue needs to say about the machine and the installation."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
from pathlib import Path
from typing import Any

import click

from dfkdbench import PROTOCOL, __version__
from dfkdbench.cli.listing import plugin_rows
from dfkdbench.cli.output import print_facts, print_json
from dfkdbench.descriptors import API
from dfkdbench.devices import available_cores
from dfkdbench.places import data_folder, home_folder
from dfkdbench.registry import load_registry
from dfkdbench.sandbox.landlock import NEWEST_ABI, abi_version
from dfkdbench.teachers.store import TeacherStore

PACKAGES = (
    "torch",
    "torchvision",
    "numpy",
    "pandas",
    "pluggy",
    "click",
    "pydantic",
    "safetensors",
    "scipy",
    "tabulate",
    "rich",
)

Report = dict[str, Any]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def doctor(as_json: bool) -> None:
    """Show versions, device, isolation and plugins, to paste in an issue."""
    report = examine()
    if as_json:
        print_json(report)
        return
    for section, content in report.items():
        click.echo(section)
        if isinstance(content, dict):
            print_facts({name: str(value) for name, value in content.items()})
        for line in content if isinstance(content, list) else ():
            click.echo(f"  {line}")


def examine() -> Report:
    """Everything the command tells, as plain data by section."""
    return {
        "dfkdbench": {"version": __version__, "protocol": PROTOCOL, "plugin API": API},
        "system": {
            "platform": platform.platform(),
            "python": f"{platform.python_version()} ({sys.executable})",
            "processor": _processor(),
            "memory": _memory(),
        },
        "packages": {name: _version_of(name) for name in PACKAGES},
        "devices": _devices(),
        "isolation": {"in force for runs": _isolation()},
        "plugins": [_plugin_line(row) for row in plugin_rows(load_registry())],
        "teachers": _teachers(),
        "folders": _folders(),
        "environment": _environment(),
    }


def _version_of(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    from dfkdbench.environment import hardware_name

    return f"{hardware_name('cpu')}, {available_cores()} usable here"


def _memory() -> str:
    names = os.sysconf_names
    if "SC_PHYS_PAGES" not in names or "SC_PAGE_SIZE" not in names:
        return "unknown"
    return _gibibytes(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))


def _devices() -> dict[str, str]:
    """What torch can compute on; an installation of torch that can't be imported is told, not raised."""
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: a shared library is missing
        return {"torch": f"can't be imported: {error}"}
    devices = {"cpu": f"{torch.get_num_threads()} threads"}
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        capability = f"{properties.major}.{properties.minor}"
        memory = _gibibytes(properties.total_memory)
        devices[f"cuda:{index}"] = f"{properties.name}, {memory}, capability {capability}, CUDA {torch.version.cuda}"
    if not torch.cuda.is_available():
        devices["cuda"] = "none"
    devices["--device auto"] = "cuda" if torch.cuda.is_available() else "cpu"
    return devices


def _isolation() -> str:
    version = min(abi_version(), NEWEST_ABI)
    return f"landlock abi {version}" if version else "audit hook (this kernel has no Landlock, or has it switched off)"


def _plugin_line(row: dict[str, Any]) -> str:
    said = f"{row['name']} ({row['distribution']} {row['version']}, {row['module']}): {row['status']}"
    return f"{said}, {len(row['parts'])} parts" if row["status"] == "ok" else f"{said}: {row['reason']}"


def _teachers() -> dict[str, Any]:
    store = TeacherStore.default()
    bundles, complaints = store.scan()
    return {
        "readable": ", ".join(bundle.name for bundle in bundles) or "none",
        "damaged": "; ".join(complaints),
        "searched in": ", ".join(map(str, store.folders)),
    }


def _folders() -> dict[str, str]:
    """Where things are kept, and the room there."""
    places = {"home": home_folder(), "data": data_folder(), "current folder": Path.cwd()}
    return {name: f"{path} ({_free(path)})" for name, path in places.items()}


def _free(path: Path) -> str:
    existing = next(folder for folder in (path, *path.parents) if folder.exists())
    state = "" if existing == path else "not made yet, "
    return f"{state}{_gibibytes(shutil.disk_usage(existing).free)} free"


def _environment() -> dict[str, str]:
    """Variables that change what happens, where they are set."""
    told = ("DFKDBENCH_HOME", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "PYTHONPATH")
    return {name: os.environ[name] for name in told if name in os.environ}


def _gibibytes(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
