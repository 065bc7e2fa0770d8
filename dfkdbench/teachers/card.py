"""What is written beside a teacher's weights. Imports no torch."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dfkdbench.errors import IntegrityError

SCHEMA: Literal[1] = 1
WEIGHTS_FILE = "weights.safetensors"
CARD_FILE = "teacher.json"

RecipeKind = Literal["standard", "smoke", "imported"]
"""`standard` and `smoke` are the data set's two open recipes; `imported` weights were trained elsewhere."""


class TrainingRecipe(BaseModel):
    """The recipe a teacher was trained by; fields as in `dfkdbench.descriptors.TeacherRecipe`."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    epochs: int
    batch_size: int
    optimizer: Literal["sgd", "adam"]
    lr: float
    momentum: float
    weight_decay: float
    schedule: Literal["constant", "cosine", "multistep"]
    milestones: tuple[float, ...]
    gamma: float
    augment: bool
    flip: bool
    precision: Literal["fp32", "bf16"] = "fp32"


class TeacherCard(BaseModel):
    """Everything about a teacher but its weights.

    `accuracy` is that of the last epoch on the test set, in percent. `seed` and `recipe` are None for imported weights.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    schema_number: Literal[1] = Field(SCHEMA, alias="schema")
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    dataset: str
    dataset_version: str
    arch: str
    arch_version: str
    classes: int = Field(ge=2)
    channels: int = Field(ge=1)
    image_size: int = Field(ge=1)
    mean: tuple[float, ...]
    std: tuple[float, ...]
    seed: int | None
    kind: RecipeKind
    recipe: TrainingRecipe | None
    accuracy: float = Field(ge=0, le=100)
    test_fingerprint: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    protocol: str
    torch: str
    created: str


@dataclass(frozen=True)
class TeacherBundle:
    """A teacher on disk: its card and the folder that holds it."""

    card: TeacherCard
    folder: Path

    @property
    def name(self) -> str:
        """Name of the bundle, which is also that of its folder."""
        return self.card.name

    @property
    def sha256(self) -> str:
        """Hash of the weights file; results are keyed by it."""
        return self.card.sha256

    @property
    def weights(self) -> Path:
        """The weights file."""
        return self.folder / WEIGHTS_FILE


def teacher_name(dataset: str, arch: str, seed: int, kind: RecipeKind = "standard") -> str:
    """Name of a trained teacher: `<dataset>-<arch>-s<seed>`, with `-smoke` for the short recipe."""
    return f"{dataset}-{arch}-s{seed}" + ("" if kind == "standard" else f"-{kind}")


def hash_file(path: Path) -> str:
    """sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_bundle(folder: Path) -> TeacherBundle:
    """The bundle in a folder, its card checked; the weights are checked when they are loaded.

    Raises:
        IntegrityError: No card, a card of another schema, or one that belongs to another folder.
    """
    path = folder / CARD_FILE
    try:
        card = TeacherCard.model_validate_json(path.read_bytes())
    except OSError as error:
        raise IntegrityError(f"Teacher '{folder}' has no readable {CARD_FILE} ({error.strerror}).") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise IntegrityError(f"{path} is no teacher card: {where}: {first['msg']}.") from error
    if card.name != folder.name:
        raise IntegrityError(f"{path} is the card of '{card.name}', but its folder is called '{folder.name}'.")
    if not (folder / WEIGHTS_FILE).is_file():
        raise IntegrityError(f"Teacher '{folder}' has no {WEIGHTS_FILE}.")
    return TeacherBundle(card, folder)
