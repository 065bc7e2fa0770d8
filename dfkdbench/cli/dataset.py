"""`dfkdbench dataset`: data sets that are folders of images."""

from __future__ import annotations

from pathlib import Path

import click

from dfkdbench.errors import ConfigError, unknown_name

_NAME = r"[a-z0-9][a-z0-9_.-]*"


@click.group()
def dataset() -> None:
    """Add and remove data sets that are folders of images. Added ones are used like any other, by their name."""


@dataset.command("add")
@click.argument("name")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--image-size",
    type=click.IntRange(1),
    default=32,
    show_default=True,
    help="Side of the square images in pixels: the shorter side is resized to it, then the middle is cut out.",
)
@click.option("--force", is_flag=True, help="Replace a data set of that name that was added before.")
def add(name: str, folder: Path, image_size: int, force: bool) -> None:
    """Make the images in FOLDER the data set NAME.

    FOLDER holds train and test (or val) with a folder of JPEG or PNG files for each class in both, or the class
    folders alone; then 20 % of each class are the test part. The images stay where they are.
    """
    import re

    from dfkdbench.datasets.adding import add_folder
    from dfkdbench.registry import load_registry

    if not re.fullmatch(_NAME, name):
        raise ConfigError(f"A data set's name is made of a-z, 0-9, '_', '.' and '-'; given '{name}'.")
    card = add_folder(name, folder, image_size, load_registry(), force)
    click.echo(
        f"{name}: {card.classes} classes, {card.train_images:,} train / {card.test_images:,} test images of "
        f"3x{image_size}x{image_size}; mean {_numbers(card.mean)}, std {_numbers(card.std)}"
    )


@dataset.command("remove")
@click.argument("name")
def remove(name: str) -> None:
    """Forget the data set NAME that was added. Its images stay where they are."""
    from dfkdbench.datasets.local import cards_folder

    added = {path.stem: path for path in cards_folder().glob("*.json")}
    if name not in added:
        raise unknown_name("added data set", name, added, "dfkdbench list datasets")
    added[name].unlink()
    click.echo(f"{name} is no data set any more.")


def _numbers(values: tuple[float, ...]) -> str:
    return ",".join(f"{value:.4f}" for value in values)
