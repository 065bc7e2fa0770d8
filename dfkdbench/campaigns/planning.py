"""A campaign's choices as plans: which run ids there are, what is refused, and which teachers are missing.

Planning trains nothing, and downloads nothing unless it is told to. Each data set is read once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from dfkdbench.bench import Request
from dfkdbench.campaigns.definition import Campaign, Choice, setting_texts
from dfkdbench.config import SLOTS
from dfkdbench.datasets.loading import load_dataset
from dfkdbench.devices import choose_device
from dfkdbench.errors import DataError, DfkdbenchError, PlanError
from dfkdbench.files import sha256_of
from dfkdbench.lookup import look_up
from dfkdbench.places import home_folder
from dfkdbench.plan import Cell, Plan, make_plan
from dfkdbench.readout import take_samples
from dfkdbench.registry import Registry
from dfkdbench.runfolder import RunFolder
from dfkdbench.teachers.card import RecipeKind, TeacherBundle, teacher_name
from dfkdbench.teachers.provision import TeacherSource


@dataclass(frozen=True)
class Place:
    """Where a campaign's data and runs are.

    Attributes:
        fetch: Missing data sets may be downloaded, as `dfkdbench run` does.
    """

    out: Path
    data_root: Path | None = None
    download: bool = False
    fetch: bool = False


@dataclass(frozen=True)
class MissingTeacher:
    """A teacher that is trained before the runs of its cell."""

    name: str
    dataset: str
    arch: str
    seed: int
    smoke: bool


@dataclass(frozen=True)
class PlannedRun:
    """A run of a campaign.

    Attributes:
        request: As `dfkdbench run` gets it, for one seed.
        plan: With stand-ins for hashes that are not known yet.
        missing: Teachers that it waits for.
        blocked: Why it can't be made at all here, where it can't: its data are not at hand.
    """

    request: Request
    plan: Plan
    missing: tuple[MissingTeacher, ...] = ()
    blocked: str = ""

    @property
    def is_settled(self) -> bool:
        """Whether its id is known."""
        return not self.missing and not self.blocked

    @property
    def folder(self) -> RunFolder:
        """Where it is made."""
        return RunFolder(self.request.out / self.plan.run_id)

    @property
    def title(self) -> str:
        """Method, cell and seed in one line."""
        plan = self.plan
        several = f" x{len(plan.teachers)} teachers" if len(plan.teachers) > 1 else ""
        return f"{plan.plugin} {plan.input.dataset} {plan.pair}{several} {plan.budget.name} s{plan.seed}"


@dataclass
class PlannedCampaign:
    """The runs of a campaign, and what of it can't be run.

    Attributes:
        refused: Title of a combination that can't work -> the reason.
    """

    runs: list[PlannedRun] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)

    @property
    def settled(self) -> list[PlannedRun]:
        """Runs whose id is known."""
        return [run for run in self.runs if run.is_settled]

    @property
    def blocked(self) -> list[PlannedRun]:
        """Runs whose data are not at hand."""
        return [run for run in self.runs if run.blocked]

    @property
    def missing_teachers(self) -> list[MissingTeacher]:
        """Teachers to be trained first, each once."""
        waiting = [run for run in self.runs if not run.blocked]
        return list(dict.fromkeys(teacher for run in waiting for teacher in run.missing))


class Planner:
    """Plans choices; remembers what it has read of data sets and teachers.

    Attributes:
        device: Of every run.
    """

    def __init__(self, registry: Registry, campaign: Campaign, place: Place) -> None:
        self._registry, self._campaign, self._place = registry, campaign, place
        wanted = campaign.resources.device
        self.device = choose_device(wanted) if wanted == "auto" else wanted
        self._data: dict[str, str] = {}
        self._teachers: dict[MissingTeacher, TeacherBundle] = {}

    def plan(self, choices: Iterable[Choice]) -> PlannedCampaign:
        """Every choice as a run, each id once, or as refused.

        Raises:
            DfkdbenchError: A name, key or value that there is not. A combination that can't work is no error.
        """
        planned, seen = PlannedCampaign(), set()
        for choice in choices:
            request = self._request(choice)
            try:
                run = self._plan_one(request)
            except PlanError as refusal:
                planned.refused[_title(choice)] = refusal.message
                continue
            except DfkdbenchError as error:
                raise type(error)(f"{_title(choice)}: {error.message}") from None
            if run.plan.run_id not in seen:
                seen.add(run.plan.run_id)
                planned.runs.append(run)
        return planned

    def _request(self, choice: Choice) -> Request:
        place, resources = self._place, self._campaign.resources
        return Request(
            plugin=choice.plugin,
            dataset=choice.dataset,
            pair=choice.pair or None,
            budget=choice.budget or None,
            seeds=(choice.seed,),
            settings=setting_texts(choice.set),
            losses=tuple(f"{name}={weight!r}" for name, weight in choice.loss.items()),
            teacher_count=choice.teachers,
            teacher=choice.teacher or None,
            data_root=place.data_root,
            download=place.download,
            out=place.out,
            device=self.device,
            threads=resources.threads,
            generator=choice.generator or None,
            combiner=choice.combiner or None,
            replay=choice.replay or None,
            aggregator=choice.aggregator or None,
        )

    def _plan_one(self, request: Request) -> PlannedRun:
        method, cell, resolved = look_up(self._registry, request)
        full = replace(request, pair=cell.pair, budget=cell.budget_name)
        teachers, missing = self._find_teachers(full, cell)

        def plan(test_set: str, samples: str | None) -> Plan:
            return make_plan(method, resolved, cell, teachers, full.seeds[0], self.device, test_set, samples)

        draft = plan("", None)
        try:
            test_set = self._fingerprint(cell)
            samples = self._samples(draft, cell)
        except DataError as error:
            return PlannedRun(full, draft, missing, blocked=error.message)
        return PlannedRun(full, plan(test_set, samples), missing)

    def _find_teachers(self, request: Request, cell: Cell) -> tuple[dict[str, str], tuple[MissingTeacher, ...]]:
        """Name -> hash of a run's teachers, and those of them that are not there."""
        source = TeacherSource(
            cell.dataset.item,
            cell.teacher.item,
            data_root=None,
            download=False,
            device=self.device,
            smoke=cell.budget_name == "smoke",
            progress=_Silent(),
        )
        if request.teacher is not None:
            card = source.pinned(request.teacher).card
            return {card.name: card.sha256}, ()
        hashes, missing = {}, []
        for seed in range(request.teacher_count):
            kind: RecipeKind = "smoke" if source.smoke else "standard"
            dataset, arch = source.dataset.name, source.arch.name
            wanted = MissingTeacher(teacher_name(dataset, arch, seed, kind), dataset, arch, seed, source.smoke)
            if wanted not in self._teachers and (found := source.at_hand(seed)) is not None:
                self._teachers[wanted] = found
            if wanted in self._teachers:
                card = self._teachers[wanted].card
                hashes[card.name] = card.sha256
            else:
                missing.append(wanted)
                hashes[wanted.name] = ""
        return hashes, tuple(missing)

    def _fingerprint(self, cell: Cell) -> str:
        """Of the test set.

        Raises:
            DataError: It is not at hand, or damaged.
        """
        name = cell.dataset.item.name
        if name not in self._data:
            try:
                images = load_dataset(cell.dataset.item, self._root(cell), False, self._download)
                self._data[name] = images.fingerprint()
            except DataError as error:
                self._data[name] = f"!{error.message}"
        if self._data[name].startswith("!"):
            raise DataError(self._data[name][1:])
        return self._data[name]

    def _samples(self, draft: Plan, cell: Cell) -> str | None:
        """Fingerprint of the labelled samples that a readout is fitted on, where there is one."""
        if draft.readout is None:
            return None
        training = load_dataset(cell.dataset.item, self._root(cell), True, self._download)
        return take_samples(draft.readout, training).fingerprint()

    def _root(self, cell: Cell) -> Path | None:
        """The folder of a data set's files: without leave to download one that is there, if need be an empty one."""
        if self._place.fetch or not cell.dataset.item.needs_root:
            return self._place.data_root
        return self._place.data_root or home_folder() / "data"

    @property
    def _download(self) -> bool:
        return self._place.fetch and self._place.download


class _Silent:
    """For planning, which trains no teacher."""

    def __call__(self, line: str) -> None:
        raise RuntimeError(f"planning trained a teacher: {line}")

    def epoch(self, epoch: int, epochs: int, loss: float) -> None:
        raise RuntimeError("planning trained a teacher")


def in_shard(key: str, shard: tuple[int, int] | None) -> bool:
    """Whether a run belongs to shard i of n (i from 1): by a hash of its id, whatever else is in the campaign."""
    if shard is None:
        return True
    index, count = shard
    return int(sha256_of(key.encode())[:12], 16) % count == index - 1


def _title(choice: Choice) -> str:
    """A choice in one line, by what of it is given."""
    given = [choice.plugin, choice.dataset, choice.pair, choice.budget]
    given += [f"x{choice.teachers} teachers"] if choice.teachers > 1 else []
    given += [f"{slot} {name}" for slot in SLOTS if (name := getattr(choice, slot))]
    given += [f"{name}={value}" for table in (choice.loss, choice.set) for name, value in table.items()]
    return " ".join(word for word in given if word)
