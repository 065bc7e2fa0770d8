"""The campaigns that ship: each can be planned with what is installed, and digits holds what its board holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from dfkdbench.boards.definition import read_definition
from dfkdbench.campaigns.definition import Campaign, read_campaign
from dfkdbench.campaigns.estimate import Measurements
from dfkdbench.campaigns.planning import Place, PlannedCampaign, Planner
from dfkdbench.plan import Plan
from dfkdbench.registry import load_registry
from dfkdbench.tuning import changed_settings

ROOT = Path(__file__).resolve().parents[2]
BOARDS = ROOT / "leaderboards"
FILES = sorted((ROOT / "campaigns").glob("*.toml"))
COLOUR = ("scratch", "real-data", "noise", "random-generator", "dafl", "rdskd", "cmi", "pre_dfkd", "zskt")
TWO_HOURS = 2 * 3600


def planned(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Campaign, PlannedCampaign]:
    monkeypatch.setenv("DFKDBENCH_HOME", str(tmp_path / "home"))
    campaign = read_campaign(path)
    return campaign, Planner(load_registry(), campaign, Place(tmp_path / "runs")).plan(campaign.choices())


def test_campaigns__are_there_for_the_usual_data_sets() -> None:
    assert {path.stem for path in FILES} == {"digits", "mnist", "fashion_mnist", "cifar10", "cifar100", "svhn"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_campaign__can_be_planned(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    campaign, plan = planned(path, tmp_path, monkeypatch)
    assert campaign.name == path.stem
    assert {run.plan.input.dataset for run in plan.runs} == {path.stem}
    assert all(folder.is_dir() for folder in campaign.measured)
    for reason in plan.refused.values():
        assert "no batch norm" in reason
    seeds = {run.plan.seed for run in plan.runs}
    assert seeds >= {0, 1, 2}


def test_colour_campaigns__start_with_the_methods_that_matter_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, plan = planned(ROOT / "campaigns" / "cifar10.toml", tmp_path, monkeypatch)
    assert tuple(run.plan.plugin for run in plan.runs[: len(COLOUR)]) == COLOUR
    assert {run.plan.seed for run in plan.runs[: len(COLOUR)]} == {0}


@pytest.mark.parametrize("name", sorted(path.stem for path in FILES if (BOARDS / path.stem).is_dir()))
def test_campaign__makes_runs_of_cells_and_tiers_that_its_board_has(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, plan = planned(ROOT / "campaigns" / f"{name}.toml", tmp_path, monkeypatch)
    cells = read_definition(BOARDS / name).cells
    taken = {(cell.pair, budget.name) for cell in cells for budget in cell.budgets}
    assert {(run.plan.pair, run.plan.budget.name) for run in plan.runs} <= taken


def test_digits__holds_every_entry_of_its_board_whose_method_runs_as_it_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, plan = planned(ROOT / "campaigns" / "digits.toml", tmp_path, monkeypatch)
    ids = {run.plan.run_id for run in plan.settled}
    entries = sorted((ROOT / "leaderboards" / "digits" / "entries").glob("*/plan.json"))
    found = [Plan.model_validate_json(path.read_bytes(), strict=True) for path in entries]
    plain = {entry.run_id for entry in found if not changed_settings(load_registry(), entry)}
    assert len(plain) > 80
    assert plain <= ids


def test_digits__takes_two_hours_on_two_cores_at_most_by_what_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign, plan = planned(ROOT / "campaigns" / "digits.toml", tmp_path, monkeypatch)
    measured = Measurements(campaign.measured)
    estimates = [measured.estimate(run.plan) for run in plan.runs]
    known = [estimate.seconds for estimate in estimates if estimate is not None]
    assert len(known) > 0.8 * len(plan.runs)
    assert sum(known) / len(known) * len(plan.runs) / 2 < TWO_HOURS
