"""A campaign file: tables of lists whose product is taken, with defaults that they share.

    name = "digits"

    [defaults]
    dataset = "digits"
    seeds = "0-2"

    [[runs]]
    plugin = ["noise", "scratch"]
    pair = ["lenet_s:lenet_xs", "resnet_s:resnet_xs"]

Keys are spelled like the flags of `dfkdbench run`. Imports no torch.
"""

from __future__ import annotations

import itertools
import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from dfkdbench.errors import ConfigError
from dfkdbench.executors.jobs import Resources
from dfkdbench.recipe import Options
from dfkdbench.seeds import parse_seeds
from dfkdbench.validation import validate

HELP = "dfkdbench sweep --help"


def _as_many(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else (value,)


def _as_seeds(value: Any) -> Any:
    return parse_seeds(value) if isinstance(value, str) else _as_many(value)


Names = Annotated[tuple[str, ...], BeforeValidator(_as_many), Field(min_length=1)]


class RunTable(Options):
    """One `[[runs]]` table. Every key takes one value or a list of them; the product of the lists is taken."""

    plugin: Names = Field(description="Methods.")
    dataset: Names = Field(description="Data sets.")
    pair: Names = Field(("",), description="TEACHER:STUDENT; the data set's default where there is none.")
    budget: Names = Field(("",), description="Tiers; the data set's default where there is none.")
    teachers: Annotated[tuple[int, ...], BeforeValidator(_as_many)] = Field((1,), description="Numbers of teachers.")
    teacher: Names = Field(("",), description="Pinned teachers, by name or hash.")
    generator: Names = Field(("",), description="Generators instead of the method's.")
    combiner: Names = Field(("",), description="Combiners instead of the method's.")
    replay: Names = Field(("",), description="Replay memories instead of the method's.")
    aggregator: Names = Field(("",), description="Aggregators instead of the method's.")
    loss: Annotated[tuple[dict[str, float], ...], BeforeValidator(_as_many)] = Field(
        ({},), description="Tables of losses with their weights; 0 leaves one out."
    )
    set: Annotated[tuple[dict[str, Any], ...], BeforeValidator(_as_many)] = Field(
        ({},), description="Tables of recipe keys with their values."
    )
    seeds: Annotated[tuple[int, ...], BeforeValidator(_as_seeds)] = Field(
        (0,), min_length=1, description="Such as 0, [0, 1] or '0-2'."
    )


class ResourceTable(Options):
    """What one run needs."""

    device: str = Field("auto", description="auto, cpu or cuda.")
    threads: int = Field(1, ge=1, description="CPU threads; rounding, and with it a student, depends on them.")
    gpus: float | None = Field(
        None, ge=0, le=8, description="GPUs of a run on cuda; a fraction lets runs share one. Without it: 1."
    )
    memory_gb: float = Field(2.0, gt=0, description="Main memory.")

    def of(self, device: str) -> Resources:
        """What a run on a device needs."""
        on_one = 1.0 if self.gpus is None else self.gpus
        return Resources(self.threads, on_one if device.startswith("cuda") else 0.0, self.memory_gb)


class _Head(Options):
    name: str = Field(min_length=1, description="Name of the campaign.")
    description: str = Field("", description="What it is for.")
    measured: tuple[str, ...] = Field((), description="Folders of records to estimate times by, beside the file.")
    resources: ResourceTable = ResourceTable()
    executor: dict[str, Any] = Field({}, description="name, and the executor's options.")


class Choice(Options):
    """One run, spelled like the flags of `dfkdbench run`; an empty text is a flag that is not given."""

    plugin: str
    dataset: str
    pair: str
    budget: str
    teachers: int
    teacher: str
    generator: str
    combiner: str
    replay: str
    aggregator: str
    loss: dict[str, float]
    set: dict[str, Any]
    seed: int


@dataclass(frozen=True)
class Campaign:
    """A campaign file, checked.

    Attributes:
        measured: Folders of records to estimate times by.
        executor: Name of the executor.
        executor_options: Its options, not yet checked.
    """

    name: str
    description: str
    measured: tuple[Path, ...]
    resources: ResourceTable
    executor: str
    executor_options: dict[str, Any]
    tables: tuple[RunTable, ...]

    def choices(self) -> list[Choice]:
        """Every run once: tables in the order of the file, and in each all runs of a seed before those of the next."""
        found: dict[str, Choice] = {}
        for table in self.tables:
            for choice in _product(table):
                found.setdefault(choice.model_dump_json(), choice)
        return list(found.values())


def read_campaign(path: Path, overrides: Mapping[str, Any] | None = None) -> Campaign:
    """A campaign from its file.

    Args:
        overrides: Keys of `RunTable` that replace those of every table.

    Raises:
        ConfigError: It can't be read, or has a key or value that it should not; the message names the nearest key.
    """
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"Can't read the campaign {path}: {error}") from None
    defaults, runs = tree.pop("defaults", {}), tree.pop("runs", [])
    if not isinstance(defaults, dict) or not isinstance(runs, list) or not all(isinstance(run, dict) for run in runs):
        raise ConfigError(f"{path}: [defaults] is one table and [[runs]] are tables. See: {HELP}")
    if not runs:
        raise ConfigError(f"{path} has no [[runs]]. A table such as plugin = [...], dataset = [...] is needed.")
    try:
        head = validate(_Head, tree, "", HELP)
        tables = [
            validate(RunTable, {**defaults, **run, **(overrides or {})}, f"runs[{number}].", HELP)
            for number, run in enumerate(runs, 1)
        ]
    except ConfigError as error:
        raise ConfigError(f"{path}: {error.message}") from None
    executor = dict(head.executor)
    return Campaign(
        name=head.name,
        description=head.description,
        measured=tuple(path.parent / folder for folder in head.measured),
        resources=head.resources,
        executor=str(executor.pop("name", "local")),
        executor_options=executor,
        tables=tuple(tables),
    )


def _product(table: RunTable) -> Iterator[Choice]:
    """Seeds are outermost, methods innermost."""
    axes = [name for name in Choice.model_fields if name not in ("seed", "plugin")]
    values = [getattr(table, name) for name in axes]
    for seed in table.seeds:
        for combination in itertools.product(*values, table.plugin):
            yield Choice(seed=seed, **dict(zip((*axes, "plugin"), combination, strict=True)))


def setting_texts(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Settings as after `--set`."""
    return tuple(f"{key}={json.dumps(value)}" for key, value in settings.items())
