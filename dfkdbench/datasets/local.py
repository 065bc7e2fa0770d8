"""Data sets that a user added: folders of images, each with a card. A plugin like any other; imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dfkdbench.datasets.specs import COLOUR_BUDGETS, COLOUR_PAIRS, COLOUR_TEACHER, COLOUR_TEACHER_SMOKE
from dfkdbench.descriptors import API as API
from dfkdbench.descriptors import DatasetSpec
from dfkdbench.errors import IntegrityError
from dfkdbench.hookspecs import hookimpl
from dfkdbench.places import home_folder


class FolderCard(BaseModel):
    """What was found out about a folder of images when it was added.

    `mean` and `std` are of the training pixels scaled to 0..1, per channel. `fingerprint` is that of the test part.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    schema_number: Literal[1] = Field(1, alias="schema")
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$")
    folder: str
    classes: int = Field(ge=2)
    image_size: int = Field(ge=1)
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    train_images: int = Field(ge=1)
    test_images: int = Field(ge=1)
    fingerprint: str

    def spec(self) -> DatasetSpec:
        """The data set, with the tiers, pairs and teachers' recipe of the built-in colour sets."""
        return DatasetSpec(
            name=self.name,
            target="dfkdbench.datasets.folders:load_folder",
            summary=f"Folder of images, added here; {self.train_images:,} train / {self.test_images:,} test",
            classes=self.classes,
            channels=3,
            image_size=self.image_size,
            mean=self.mean,
            std=self.std,
            pairs=COLOUR_PAIRS,
            budgets=COLOUR_BUDGETS,
            teacher=COLOUR_TEACHER,
            teacher_smoke=COLOUR_TEACHER_SMOKE,
            files="train/ and test/ with a folder for each class, or a folder for each class",
            version=self.fingerprint[:12],
            arguments={},
            root=self.folder,
        )


def cards_folder() -> Path:
    """Where the cards are: `datasets` in the suite's own folder."""
    return home_folder() / "datasets"


def read_card(path: Path) -> FolderCard:
    """A card.

    Raises:
        IntegrityError: The file is no card.
    """
    try:
        return FolderCard.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise IntegrityError(f"{path} is no card of a data set; remove it and add the set again") from error


@hookimpl
def dfkdbench_datasets() -> list[DatasetSpec]:
    """Every data set that was added."""
    return [read_card(path).spec() for path in sorted(cards_folder().glob("*.json"))]
