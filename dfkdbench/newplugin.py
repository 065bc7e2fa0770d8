"""Writes a distribution to start a plugin from: packaging, options, one working part, tests, a workflow, a licence."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from string import Template

from dfkdbench.controls import CONTROLS
from dfkdbench.descriptors import API
from dfkdbench.errors import ConfigError, unknown_name
from dfkdbench.places import assets_folder
from dfkdbench.registry import Registry

PREFIX = "dfkdbench-"
KINDS = ("method", "generator", "loss", "replay", "aggregator", "dataset", "model")

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_CONTROL = CONTROLS[0].name
_PLACE_OF_PACKAGE, _PLACE_OF_DOT, _SUFFIX = "PACKAGE", "dot-", ".txt"

_SUMMARIES = {
    "method": "Sure and class-balanced images; the student learns alongside.",
    "generator": "Images that are an affine map of latents, enlarged.",
    "loss": "Sure images: the teacher's best class ahead of its second by a margin.",
    "replay": "The last images, drawn uniformly.",
    "aggregator": "Mean of the teachers' logits, sure teachers weighing more.",
    "dataset": "Noisy stripes in four directions; 1,024 train / 256 test.",
    "model": "Two convolutions with batch norm and a linear layer.",
}
_TRAINED = "--loss class_entropy --set phases.distil.generator_steps=1"
_COMMANDS = {
    "method": "--plugin {name} --dataset digits",
    "generator": f"--plugin {_CONTROL} --generator {{name}} {_TRAINED} --dataset digits",
    "loss": f"--plugin {_CONTROL} --generator conv --loss {{name}} {_TRAINED} --dataset digits",
    "replay": f"--plugin {_CONTROL} --replay {{name}} --dataset digits",
    "aggregator": f"--plugin {_CONTROL} --teachers 2 --aggregator {{name}} --dataset digits",
    "dataset": f"--plugin {_CONTROL} --dataset {{name}}",
    "model": f"--plugin {_CONTROL} --dataset digits --pair lenet_s:{{name}}",
}
"""How each kind is run: parts of a method are put into a control."""


@dataclass(frozen=True)
class NewPlugin:
    """A plugin to be written.

    Attributes:
        name: Of the part, as users write it.
    """

    name: str
    kind: str

    @property
    def distribution(self) -> str:
        """Name of the distribution."""
        return PREFIX + self.name.replace("_", "-")

    @property
    def package(self) -> str:
        """Name of the package."""
        return PREFIX.replace("-", "_") + self.name

    @property
    def command(self) -> str:
        """How it is run."""
        return "dfkdbench run " + _COMMANDS[self.kind].format(name=self.name)

    def values(self) -> dict[str, str]:
        """What templates may name."""
        return {
            "name": self.name,
            "camel": "".join(word.capitalize() for word in self.name.split("_")),
            "distribution": self.distribution,
            "package": self.package,
            "command": self.command,
            "summary": _SUMMARIES[self.kind],
            "api": str(API),
            "year": str(datetime.datetime.now(tz=datetime.UTC).year),
        }


def plan_plugin(name: str, kind: str, registry: Registry) -> NewPlugin:
    """A new plugin of a name that is free.

    Raises:
        ConfigError: A name that is none, or is taken.
        UnknownNameError: No such kind.
    """
    if kind not in KINDS:
        raise unknown_name("kind", kind, KINDS, "dfkdbench plugin new --help")
    if not _NAME.fullmatch(name):
        offer = _nearest_name(name)
        raise ConfigError(
            f"'{name}' can't be the name of a plugin: it is to be small letters, digits and single underscores, a "
            f"letter first." + (f" Did you mean '{offer}'?" if offer else " For example: my_method")
        )
    plugin = NewPlugin(name, kind)
    owners = {owned.distribution for spelling, owned in registry.shelf(kind).items() if spelling.split(":")[-1] == name}
    owners |= {status.distribution for status in registry.plugins if status.distribution == plugin.distribution}
    if owners:
        raise ConfigError(
            f"There is a {kind} '{name}' already, of {' and '.join(sorted(owners))}. Choose another name; list those "
            "that are taken with: dfkdbench plugin list"
        )
    return plugin


def write_plugin(plugin: NewPlugin, into: Path) -> Path:
    """Writes the distribution as a folder of its name; gives the folder.

    Raises:
        ConfigError: The folder is there already.
    """
    folder = into / plugin.distribution
    if folder.exists():
        raise ConfigError(f"{folder} is there already. Choose another name, or another folder with --into.")
    values = plugin.values()
    for template, place in _templates(plugin):
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(Template(template.read_text(encoding="utf-8")).substitute(values), encoding="utf-8")
    return folder


def _templates(plugin: NewPlugin) -> Iterator[tuple[Path, Path]]:
    """Each template with its place in the distribution."""
    for root in (assets_folder() / "templates" / "common", assets_folder() / "templates" / plugin.kind):
        for template in sorted(path for path in root.rglob(f"*{_SUFFIX}")):
            parts = [_placed(part, plugin) for part in template.relative_to(root).parts]
            yield template, Path(*parts[:-1], parts[-1].removesuffix(_SUFFIX))


def _placed(part: str, plugin: NewPlugin) -> str:
    if part == _PLACE_OF_PACKAGE:
        return plugin.package
    return "." + part.removeprefix(_PLACE_OF_DOT) if part.startswith(_PLACE_OF_DOT) else part


def _nearest_name(given: str) -> str:
    """The name that a wrong one comes nearest to; empty where nothing is left of it."""
    bare = given.strip().removeprefix(PREFIX)
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+", bare)
    return re.sub(r"^[0-9_]+", "", "_".join(words).lower())
