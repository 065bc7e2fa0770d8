"""A built board: everything that its tables and pages show, computed; writers of outputs only lay it out.

`Board` holds a `Table` for each cell and tier. In a table every `Ranking` is a league's; controls and teachers stand
beside all of them without a rank. Accuracies are in percent, seconds are the worker's; numbers have six decimals.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

SCHEMA: Literal[1] = 1


def _rounded(value: float) -> float:
    """Without the digits in which one build of NumPy or SciPy differs from another."""
    return round(value, 6) + 0.0


Number = Annotated[float, AfterValidator(_rounded)]


class _Value(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, json_schema_serialization_defaults_required=True
    )


class Score(_Value):
    """A finished seed.

    Attributes:
        oracle: Best on the test set over the evaluations. Never ranked.
    """

    seed: int
    run_id: str
    accuracy: Number
    oracle: Number
    device: str
    isolation: str
    hardware: str
    finished_at: str
    verified: str


class Failure(_Value):
    """A seed that did not finish.

    Attributes:
        status: As in the record: "diverged", "out-of-memory", "failed", "over-budget", or a later version's.
        error: What the record says, in one line, cut.
    """

    seed: int
    run_id: str
    status: str
    error: str


class Curve(_Value):
    """Accuracy over what was spent, at each evaluation, of the finished seeds together.

    Attributes:
        samples: Student samples until then.
        queries: Teacher queries until then, mean over seeds.
        seconds: Mean over seeds.
        low: Lowest accuracy of a seed.
        high: Highest accuracy of a seed.
    """

    samples: tuple[int, ...]
    queries: tuple[Number, ...]
    seconds: tuple[Number, ...]
    mean: tuple[Number, ...]
    low: tuple[Number, ...]
    high: tuple[Number, ...]


class Claim(_Value):
    """A published figure of the same data set and pair. Shown beside measurements, never ranked with them.

    Attributes:
        method: Its name here, where it is the same method.
        setting: What sets it apart from the method's main result.
        epoch: Which one counts: "best" on test, "last", "unspecified" or "every".
        code_epoch: Which one the released code keeps, where that was looked up.
        kind: "paper", "reproduction" or "issue".
        claim: "own" method of the paper, "other" or "reference".
        seeds: Where the source says.
        range_low: Lowest figure of its cell where two sources are more than a point apart, else None.
        range_high: Highest, likewise.
    """

    method: str
    reported_method: str
    setting: str
    metric: str
    value: Number
    epoch: str
    code_epoch: str
    kind: str
    claim: str
    seeds: int | None
    teacher_accuracy: Number | None
    paper: str
    reference: str
    locator: str
    source: str
    range_low: Number | None
    range_high: Number | None


class Row(_Value):
    """A method with one settings, over its seeds.

    Attributes:
        key: Hash of the settings: the same row in two builds of a board.
        method: How the row is called; what differs from the plain method is spelled as flags.
        parts: Flags that change parts of the plain method.
        settings: What else was set by who ran it, `key=value`; not empty marks the row as "set by the user".
        plain_known: Whether the board knows the plain method; otherwise parts and settings are the whole recipe.
        rank: In its league: 1 is best, equal means share one. None for controls and for rows without enough seeds.
        unranked: Why there is no rank.
        scores: Finished seeds, rising.
        mean: Of their accuracies at the end of the budget.
        half_width: Of its 95 % t interval; None for a single seed.
        oracle: Mean of the best on the test set. Never ranked.
        stability_mean: Mean over seeds and evaluations.
        variance: Over the evaluations of a run, mean of the seeds.
        worst_drop: Largest fall below an earlier evaluation, of any seed, in points.
        failure_rate: Failed seeds of all.
        seconds: Mean; teacher queries and student samples likewise.
        replay_bytes: Largest; peak memory likewise.
        verified: Level that all its entries reach: "none", "L0" to "L3".
        command: Makes the row's runs again.
        thumbnail: Path of a picture inside the board's folder, or None.
        claims: Published figures of the plain method's main result.
    """

    key: str
    method: str
    plugin: str
    distribution: str
    method_version: str
    parts: tuple[str, ...]
    settings: tuple[str, ...]
    plain_known: bool
    league: str
    control: bool
    rank: int | None
    unranked: str
    scores: tuple[Score, ...]
    mean: Number | None
    half_width: Number | None
    oracle: Number | None
    stability_mean: Number | None
    variance: Number | None
    worst_drop: Number | None
    failures: tuple[Failure, ...]
    failure_rate: Number
    student_samples: Number | None
    teacher_queries: Number | None
    seconds: Number | None
    replay_bytes: int | None
    peak_memory_mb: Number | None
    hardware: tuple[str, ...]
    verified: str
    command: str
    thumbnail: str | None
    curve: Curve | None
    claims: tuple[Claim, ...]


class Ranking(_Value):
    """The rows of one league: ranked ones first, the best on top, then those without a rank."""

    league: str
    rows: tuple[Row, ...]


class EffectPair(_Value):
    """Two rows that differ in exactly one part; differences are paired by seed."""

    before: str
    after: str
    seeds: tuple[int, ...]
    mean: Number
    half_width: Number | None


class Effect(_Value):
    """What exchanging one part does, in points of final accuracy, inside a league.

    Attributes:
        part: "generator", "loss", "replay", "aggregator" or "combiner".
        name: Of the loss, where it is one.
        before: The part, or the loss's weight, that is exchanged.
        after: What it is exchanged for.
        mean: Mean over the pairs of rows of their mean differences.
        half_width: Of the 95 % t interval over the seeds that all pairs have, each seed's differences averaged; None
            where there is one such seed or none.
        seeds: Those seeds.
    """

    league: str
    part: str
    name: str
    before: str
    after: str
    mean: Number
    half_width: Number | None
    seeds: tuple[int, ...]
    pairs: tuple[EffectPair, ...]


class Teacher(_Value):
    """A pinned teacher and its accuracy on the test set. Shown beside every ranking, without a rank."""

    name: str
    sha256: str
    accuracy: Number


class Budget(_Value):
    """What a run of the table may spend."""

    name: str
    student_samples: int
    teacher_queries: int
    device_seconds: int
    evaluations: int


class Table(_Value):
    """A cell with one tier.

    Attributes:
        key: The same table in two builds of a board; also fit for an address.
        pinned: Whether teachers and test set are; otherwise there can be no entry yet.
        rankings: By league, from the least that is seen of a teacher to the most.
        controls: Rows of the controls that were run.
        absent_controls: Names of those that were not.
        claims: Every published accuracy of the data set and pair.
    """

    key: str
    title: str
    dataset: str
    pair: str
    budget: Budget
    pinned: bool
    teachers: tuple[Teacher, ...]
    rankings: tuple[Ranking, ...]
    controls: tuple[Row, ...]
    absent_controls: tuple[str, ...]
    effects: tuple[Effect, ...]
    claims: tuple[Claim, ...]

    @property
    def rows(self) -> tuple[Row, ...]:
        """Every row, controls last."""
        return (*(row for ranking in self.rankings for row in ranking.rows), *self.controls)


class LeftOut(_Value):
    """A file of the board that counts for nothing, and why."""

    entry: str
    message: str


class Board(_Value):
    """A whole board.

    Attributes:
        ranking: The column that ranks.
        league: The league that is taken, or "every".
        entries: How many entries count.
        left_out: Those that don't.
    """

    schema_number: Literal[1] = Field(SCHEMA, alias="schema")
    name: str
    title: str
    description: str
    protocol: str
    minimum_seeds: int
    ranking: str
    league: str
    entries: int
    tables: tuple[Table, ...]
    left_out: tuple[LeftOut, ...]
