"""`dfkdbench teacher`: train, import and list the pinned teachers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from dfkdbench.errors import ConfigError

if TYPE_CHECKING:
    from dfkdbench.teachers.card import TeacherBundle

_DATASET = click.option("--dataset", required=True, help="Data set; see `dfkdbench list datasets`.")
_ARCH = click.option("--arch", required=True, help="Architecture; see `dfkdbench list models`.")
_DATA_ROOT = click.option("--data-root", type=click.Path(path_type=Path), help="Folder with the data set's files.")
_DEVICE = click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
_DOWNLOAD = click.option("--download", is_flag=True, help="Fetch files that the data root lacks.")
_FORCE = click.option("--force", is_flag=True, help="Replace a teacher of that name.")


@click.group()
def teacher() -> None:
    """Train, import and list teachers. A teacher is pinned by the hash of its weights."""


@teacher.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array of objects.")
def list_teachers(as_json: bool) -> None:
    """List the teachers at hand, with dataset, model, seed, accuracy in percent and hash."""
    from dfkdbench.cli.listing import show_rows, teacher_rows

    show_rows(teacher_rows(), as_json)


@teacher.command("train")
@_DATASET
@_ARCH
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--recipe", type=click.Choice(["standard", "smoke"]), default="standard", show_default=True)
@_DATA_ROOT
@_DOWNLOAD
@_DEVICE
@_FORCE
def train(
    dataset: str,
    arch: str,
    seed: int,
    recipe: Literal["standard", "smoke"],
    data_root: Path | None,
    download: bool,
    device: str,
    force: bool,
) -> None:
    """Train a teacher by the open recipe of its data set; the last epoch is kept.

    Interrupted training goes on where it stopped when the same command is given again.
    """
    from dfkdbench.cli.progress import epoch_progress
    from dfkdbench.datasets.loading import load_dataset
    from dfkdbench.devices import choose_device
    from dfkdbench.models.settling import settle
    from dfkdbench.registry import load_registry
    from dfkdbench.teachers.bundle import refuse_existing
    from dfkdbench.teachers.card import teacher_name
    from dfkdbench.teachers.store import TeacherStore
    from dfkdbench.teachers.training import train_teacher

    registry = load_registry()
    spec = registry.datasets.get(dataset).item
    model = settle(registry.models.get(arch), spec).item
    chosen, home = choose_device(device), TeacherStore.default().home
    name = teacher_name(spec.name, model.name, seed, recipe)
    refuse_existing(home, name, force)
    training, test = (load_dataset(spec, data_root, train=part, download=download) for part in (True, False))
    with epoch_progress(f"teacher {name} on {chosen}") as on_epoch:
        bundle = train_teacher(
            spec, model, seed, training, test, home, kind=recipe, device=chosen, on_epoch=on_epoch, overwrite=force
        )
    _report(bundle)


@teacher.command("import")
@click.option("--checkpoint", required=True, type=click.Path(path_type=Path), help="File with the weights.")
@_DATASET
@_ARCH
@click.option("--name", help="Name of the teacher; from data set, architecture and hash otherwise.")
@click.option("--mean", metavar="M[,M,M]", help="Input mean it was trained with, where not the data set's.")
@click.option("--std", metavar="S[,S,S]", help="Input standard deviation it was trained with, likewise.")
@click.option(
    "--rename",
    multiple=True,
    nargs=2,
    metavar="PATTERN REPLACEMENT",
    help="Rename tensors by a regular expression; may be given several times.",
)
@click.option("--allow-pickle", is_flag=True, help="Read a .pt or .pth file, with torch's restricted unpickler.")
@_DATA_ROOT
@_DOWNLOAD
@_DEVICE
@_FORCE
def import_(
    checkpoint: Path,
    dataset: str,
    arch: str,
    name: str | None,
    mean: str | None,
    std: str | None,
    rename: tuple[tuple[str, str], ...],
    allow_pickle: bool,
    data_root: Path | None,
    download: bool,
    device: str,
    force: bool,
) -> None:
    """Import the weights in a safetensors file as a teacher; it is evaluated on the test set first.

    What is done to the names of the tensors is told. Use the teacher by its name: dfkdbench run --teacher NAME
    """
    from dfkdbench.datasets.loading import load_dataset
    from dfkdbench.devices import choose_device
    from dfkdbench.models.settling import settle
    from dfkdbench.registry import load_registry
    from dfkdbench.teachers.importing import import_teacher
    from dfkdbench.teachers.store import TeacherStore

    registry = load_registry()
    spec = registry.datasets.get(dataset).item
    model = settle(registry.models.get(arch), spec).item
    means, deviations = (_numbers(flag, text, spec.channels) for flag, text in (("--mean", mean), ("--std", std)))
    if deviations and min(deviations) <= 0:
        raise ConfigError(f"--std takes numbers above 0, given '{std}'.")
    if not checkpoint.is_file():
        raise ConfigError(f"There is no file '{checkpoint}' to import.")
    test = load_dataset(spec, data_root, train=False, download=download)
    bundle = import_teacher(
        spec,
        model,
        checkpoint,
        test,
        TeacherStore.default().home,
        name=name,
        mean=means,
        std=deviations,
        rename=rename,
        allow_pickle=allow_pickle,
        device=choose_device(device),
        overwrite=force,
        tell=lambda line: click.echo(f"{checkpoint.name}: {line}", err=True),
    )
    _report(bundle)


def _numbers(flag: str, text: str | None, channels: int) -> tuple[float, ...] | None:
    """Comma-separated numbers, one a channel.

    Raises:
        ConfigError: Anything else.
    """
    if text is None:
        return None
    try:
        values = tuple(float(piece) for piece in text.split(","))
    except ValueError:
        values = ()
    if len(values) != channels or not all(abs(value) < float("inf") for value in values):
        example = ",".join(["0.5"] * channels)
        raise ConfigError(f"{flag} takes one number for each of {channels} channel(s), given '{text}'. E.g. {example}")
    return values


def _report(bundle: TeacherBundle) -> None:
    click.echo(
        f"{bundle.name}: {bundle.card.accuracy:.2f} % on the test set, sha256 {bundle.sha256}, in {bundle.folder}"
    )
