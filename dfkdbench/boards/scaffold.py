"""New boards: rules filled in from what is installed and at hand, and a workflow that checks and publishes them."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from dfkdbench import PROTOCOL
from dfkdbench.boards.definition import FILE, SCHEMA, Cell, Definition, PinnedTeacher, Tier
from dfkdbench.boards.entries import FOLDER
from dfkdbench.descriptors import DatasetSpec
from dfkdbench.errors import ConfigError, unknown_name
from dfkdbench.files import write_atomically
from dfkdbench.pairs import find_pair
from dfkdbench.registry import Registry
from dfkdbench.teachers.store import TeacherStore

WORKFLOW = Path(".github") / "workflows" / "leaderboard.yml"

_RULES = """\
# The rules of this board. Build it with: dfkdbench leaderboard build {place}
schema = {schema}
name = {name}
title = {title}
description = {description}
protocol = {protocol}
minimum_seeds = {minimum_seeds}  # finished seeds below which a row has no rank
league = {league}  # "every": each league is ranked on its own; or one league, whose runs alone are taken
ranking = {ranking}  # the accuracy at the end of the budget
"""

_WORKFLOW = """\
# Checks the entries of a pull request; builds and publishes the board from the main branch.
name: leaderboard

on:
  push:
    branches: [main]
  pull_request:

permissions:
  contents: read

jobs:
  check:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with:
          python-version: "3.12"
      - run: pip install dfkdbench
      - run: dfkdbench leaderboard check {place}
      - run: dfkdbench leaderboard build {place}
      - uses: actions/upload-pages-artifact@v3
        with:
          path: {path}

  publish:
    if: github.event_name == 'push'
    needs: check
    runs-on: ubuntu-latest
    permissions:
      pages: write
      id-token: write
    environment:
      name: github-pages
      url: ${{{{ steps.deployment.outputs.page_url }}}}
    steps:
      - id: deployment
        uses: actions/deploy-pages@v4
"""


def propose(
    name: str,
    dataset: DatasetSpec,
    registry: Registry,
    store: TeacherStore,
    pairs: Sequence[str] = (),
    budgets: Sequence[str] = (),
    teachers: int = 1,
) -> Definition:
    """The rules of a new board on a data set. Cells whose teachers are not at hand stay to be pinned.

    Args:
        pairs: "teacher:student"; all that the data set suggests otherwise.
        budgets: Tiers; the data set's default otherwise.
        teachers: How many a run of the board uses, those of seeds 0, 1, ...

    Raises:
        UnknownNameError: No such tier or model.
        ConfigError: A pair that is none.
    """
    names = tuple(budgets) or (dataset.default_budget,)
    for tier in names:
        if tier not in dataset.budgets:
            raise unknown_name(f"tier of {dataset.name}", tier, dataset.budgets, f"dfkdbench describe {dataset.name}")
    tiers = [_tier(name, dataset) for name in dict.fromkeys(names)]
    cells = [
        _cell(pair, dataset, registry, store, tiers, teachers) for pair in dict.fromkeys(tuple(pairs) or dataset.pairs)
    ]
    title = f"Data-free knowledge distillation on {dataset.name}"
    word = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("._-")[:64]
    return Definition(schema=SCHEMA, name=word or dataset.name, title=title, protocol=PROTOCOL, cells=cells)


def write_board(folder: Path, definition: Definition) -> None:
    """Makes a folder a board.

    Raises:
        ConfigError: It is one already.
    """
    path = folder / FILE
    if path.exists():
        raise ConfigError(f"{path} is there already. Change it by hand, or choose another folder.")
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    write_atomically(path, rules_text(definition, folder.name))


def write_workflow(folder: Path) -> Path:
    """Writes a workflow for GitHub Pages at the root of the repository that the board lies in; gives its path.

    Raises:
        ConfigError: There is one already.
    """
    folder = folder.resolve()
    root = next((parent for parent in (folder, *folder.parents) if (parent / ".git").exists()), folder)
    path = root / WORKFLOW
    if path.exists():
        raise ConfigError(f"{path} is there already. Take it away, or add the board's steps to it by hand.")
    place = folder.relative_to(root).as_posix()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, _WORKFLOW.format(place=shlex.quote(place), path=json.dumps(place)))
    return path


def rules_text(definition: Definition, place: str) -> str:
    """A board's rules as a commented TOML file.

    Args:
        place: The board's folder, for the comment.
    """
    scalars = {name: json.dumps(value) for name, value in definition.model_dump(exclude={"cells"}).items()}
    text = _RULES.format(schema=scalars.pop("schema_number"), place=place, **scalars)
    return text + "".join(_cell_text(cell) for cell in definition.cells)


def _tier(name: str, dataset: DatasetSpec) -> Tier:
    found = dataset.budgets[name]
    return Tier(
        name=name,
        student_samples=found.student_samples,
        teacher_queries=found.teacher_queries,
        device_seconds=found.device_seconds,
        evaluations=found.evaluations,
    )


def _cell(
    pair: str, dataset: DatasetSpec, registry: Registry, store: TeacherStore, tiers: list[Tier], teachers: int
) -> Cell:
    models = find_pair(registry, pair, dataset.pairs)
    teacher, student = (owned.item.name for owned in models)
    pair = f"{teacher}:{student}"
    found = [store.find(dataset.name, teacher, seed, "standard") for seed in range(teachers)]
    cards = [bundle.card for bundle in found if bundle is not None]
    if len(cards) < teachers:
        return Cell(dataset=dataset.name, pair=pair, budgets=tiers)
    return Cell(
        dataset=dataset.name,
        pair=pair,
        test_set_sha256=cards[0].test_fingerprint,
        teachers=[PinnedTeacher(name=card.name, sha256=card.sha256, accuracy=card.accuracy) for card in cards],
        budgets=tiers,
    )


def _cell_text(cell: Cell) -> str:
    lines = ["", "[[cells]]", f"dataset = {json.dumps(cell.dataset)}", f"pair = {json.dumps(cell.pair)}"]
    if cell.is_open:
        lines.append("# Not pinned: no entry is taken before test_set_sha256 and teachers stand here.")
    else:
        lines.append(f"test_set_sha256 = {json.dumps(cell.test_set_sha256)}")
        lines += ["teachers = [", *(f"    {_inline(teacher.model_dump())}," for teacher in cell.teachers), "]"]
    lines += ["budgets = [", *(f"    {_inline(tier.model_dump())}," for tier in cell.budgets), "]", ""]
    return "\n".join(lines)


def _inline(values: dict[str, object]) -> str:
    return "{ " + ", ".join(f"{key} = {json.dumps(value)}" for key, value in values.items()) + " }"
