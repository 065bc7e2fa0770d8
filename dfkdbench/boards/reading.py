"""What a board reads of a run's plan and record.

Within one schema number a file may hold more than is named here: fields that are new are passed over, those that are
missing are not. Everything without a default is required.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError

from dfkdbench.boards.fields import (
    Amount,
    Count,
    Device,
    Hash,
    League,
    Line,
    Name,
    Pair,
    PartName,
    Percent,
    Protocol,
    Reading,
    RunId,
    Status,
    Version,
    first_error,
)
from dfkdbench.config import LOSS_GROUPS, SLOTS


class ReadChoice(Reading):
    """A part as the recipe chooses it."""

    name: PartName
    options: dict[str, Any]


class ReadLoss(Reading):
    """A loss as the recipe chooses it."""

    weight: float
    options: dict[str, Any]


class ReadRecipe(Reading):
    """The parts of a recipe; what else it holds is read as plain values."""

    generator: ReadChoice
    combiner: ReadChoice
    replay: ReadChoice
    aggregator: ReadChoice
    losses: dict[PartName, ReadLoss]
    student_losses: dict[PartName, ReadLoss]


def _with_parts(recipe: dict[str, Any]) -> dict[str, Any]:
    """The recipe itself, where its parts are there and are what parts look like."""
    try:
        ReadRecipe.model_validate(recipe)
    except ValidationError as error:
        raise ValueError(first_error(error)) from None
    return recipe


class ReadPart(Reading):
    """A part with every option filled in."""

    name: Name
    options: dict[str, Any]
    weight: float
    version: Version
    distribution: Name


class ReadTeacher(Reading):
    """A teacher that a run used."""

    name: Name
    sha256: Hash


class ReadBudget(Reading):
    """What a run was allowed to spend."""

    name: Name
    student_samples: Count
    teacher_queries: Count
    device_seconds: Count
    evaluations: Count


class ReadInput(Reading):
    """The images of a run."""

    dataset: Name
    image_size: int = Field(ge=1, le=4096)


class ReadPlan(Reading):
    """A plan. Which part it has where stands in `recipe` as chosen and in slots and losses as built."""

    protocol: Protocol
    engine: Version
    plugin: Name
    method_version: Version
    distribution: Name
    loop: Line | None
    input: ReadInput
    pair: Pair
    teachers: list[ReadTeacher] = Field(min_length=1, max_length=64)
    budget: ReadBudget
    seed: Count
    device: Device
    recipe: Annotated[dict[str, Any], AfterValidator(_with_parts)]
    slots: dict[str, ReadPart]
    losses: dict[PartName, ReadPart]
    student_losses: dict[PartName, ReadPart]
    evaluate_at: list[Count] = Field(min_length=1, max_length=10_000)
    access: list[Name]
    league: League
    side: Literal["worker", "judge"]
    test_set_sha256: Hash
    processes: int = Field(1, ge=1, le=1024)
    batch_statistics: Literal["process", "synchronised"] | None = None

    def disagreement(self) -> str:
        """How the parts as chosen and as built differ, or nothing."""
        recipe = ReadRecipe.model_validate(self.recipe)
        for slot in SLOTS:
            if slot not in self.slots or self.slots[slot].name != _plain(getattr(recipe, slot).name):
                return f"the {slot} of the recipe is not the one that was built"
        for group in LOSS_GROUPS:
            chosen = {name: choice.weight for name, choice in getattr(recipe, group).items()}
            if chosen != {name: part.weight for name, part in getattr(self, group).items()}:
                return f"the {group} of the recipe are not those that were built"
        return ""


class ReadEvaluation(Reading):
    """A snapshot on the test set."""

    index: Count
    student_steps: Count
    student_samples: Count
    teacher_queries: Count
    seconds: Amount
    accuracy: Percent
    sha256: Hash


class ReadCapture(Reading):
    """How rounds were run."""

    together: int = Field(1, ge=1, le=1 << 16)


class ReadResult(Reading):
    """A record."""

    schema_version: int
    run_id: RunId
    protocol: Protocol
    plugin: Name
    distribution: Name
    dataset: Name
    pair: Pair
    budget: Name
    seed: Count
    league: League
    status: Status
    error: str
    accuracy_final: Percent | None
    accuracy_oracle: Percent | None
    accuracy_mean: Percent | None
    accuracy_variance: Amount | None
    accuracy_last5: Percent | None
    worst_drop: Percent | None
    teacher_accuracy: Percent
    student_sha256: Hash | None
    teacher_sha256: Hash
    student_samples: Count
    teacher_queries: Count
    train_seconds: Amount
    peak_memory_mb: Amount
    replay_bytes: Count
    isolation: Line
    device: Device
    hardware: Line
    finished_at: Line
    evaluations: list[ReadEvaluation] = Field(max_length=10_000)
    readout: Name | None = None
    processes: int = Field(1, ge=1, le=1024)
    batch_statistics: Literal["process", "synchronised"] | None = None
    capture: ReadCapture | None = None

    @property
    def ran_on(self) -> str:
        """Its hardware, and how many runs shared its seconds and its memory there."""
        together = self.capture.together if self.capture else 1
        return f"{self.hardware}, {together} runs together" if together > 1 else self.hardware


def _plain(name: str) -> str:
    """A part's name without the distribution that may stand before it."""
    return name.rpartition(":")[2]
