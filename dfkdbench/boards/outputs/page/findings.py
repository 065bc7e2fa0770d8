"""What a cell's rows say beside their ranks: effects of parts, failures, and what papers claim."""

from __future__ import annotations

from collections.abc import Mapping

from dfkdbench.boards.model import Claim, Effect, Table
from dfkdbench.boards.outputs import layout
from dfkdbench.boards.outputs.page.leagues import Look, filter_key
from dfkdbench.boards.outputs.page.markup import Child, Markup, element, joined, shortened, web_address
from dfkdbench.boards.outputs.page.ranking import row_id
from dfkdbench.boards.outputs.page.scales import Scale
from dfkdbench.boards.outputs.page.strips import axis_strip, effect_axis, effect_strip
from dfkdbench.boards.outputs.page.tables import (
    Column,
    body_row,
    header_cell,
    number_cell,
    numbers,
    plain_table,
    scrolling_table,
    text_cell,
)


def effects(table: Table, looks: Mapping[str, Look]) -> Markup | None:
    """The section of what one part does, or None where no two rows differ in exactly one."""
    if not table.effects:
        return None
    scale = effect_axis(table.effects)
    columns = [
        Column("Exchange"),
        Column("League"),
        Column("Difference, points", True, "descending", note=axis_strip(scale)),
        Column("Reading"),
        numbers("Seeds", "descending"),
        Column("On"),
    ]
    caption = (
        f"Marginal effects of {table.title}: rows of one league that differ in exactly one part, paired by seed; mean "
        "difference of the accuracy at the end and its 95 % t interval."
    )
    body = element("tbody", *(_effect(effect, scale, looks[effect.league]) for effect in table.effects))
    return element(
        "section",
        element("h3", "What one part does", id=f"{table.key}-parts"),
        scrolling_table(f"{table.key}-effects", caption, columns, [body]),
    )


def failures(table: Table) -> Markup | None:
    """The section of seeds that did not finish, or None."""
    failed = [(row, failure) for row in table.rows for failure in row.failures]
    if not failed:
        return None
    rows: list[list[Child]] = [
        [
            element("a", shortened(row.method), href=f"#{row_id(table, row)}"),
            "control" if row.control else row.league,
            failure.seed,
            failure.status,
            failure.error,
        ]
        for row, failure in failed
    ]
    keys = [filter_key(row) for row, _ in failed]
    columns = [Column("Method"), Column("League"), numbers("Seed"), Column("Status"), Column("Reason")]
    caption = f"Seeds of {table.title} that did not finish. Their rows' means are over the other seeds."
    return element(
        "section",
        element("h3", "Failures", id=f"{table.key}-failures"),
        plain_table(f"{table.key}-failed", caption, columns, rows, keys),
    )


def claims(table: Table, left: int = 0) -> Markup | None:
    """The section of published figures, or None where there are none.

    Args:
        left: How many claims more there are than are shown.
    """
    if not table.claims:
        return None
    columns = [
        Column("Method"),
        numbers("Claimed, %", "descending"),
        numbers("Measured here, %", "descending"),
        Column("Epoch that counts"),
        numbers("Its teacher, %", "descending"),
        numbers("Its seeds", "descending"),
        Column("Reported by"),
        Column("Where"),
        Column("Sources disagree"),
    ]
    measured = _measured(table)
    body = element("tbody", *(_claim(claim, measured) for claim in table.claims))
    caption = (
        f"Published accuracies for {table.dataset}, {table.pair}: claims, not measured here and never ranked. Their "
        "teachers and budgets are their own, and often their best epoch on the test set counts."
    )
    if left:
        caption += f" {left:,} more: dfkdbench published."
    return element(
        "section",
        element("h3", "What papers claim", id=f"{table.key}-claims"),
        scrolling_table(f"{table.key}-claimed", caption, columns, [body]),
    )


def _effect(effect: Effect, scale: Scale, look: Look) -> Markup:
    difference = joined(
        [element("span", layout.interval(effect.mean, effect.half_width)), effect_strip(effect, scale, look)]
    )
    return body_row(
        [
            header_cell(layout.exchange(effect)),
            text_cell(joined([look.swatch(), f" {effect.league}"])),
            number_cell(difference, effect.mean),
            text_cell(_reading(effect)),
            number_cell(len(effect.seeds)),
            text_cell(", ".join(shortened(pair.before) for pair in effect.pairs)),
        ],
        data_league=effect.league,
    )


def _reading(effect: Effect) -> str:
    if effect.half_width is None:
        return "too few seeds"
    if abs(effect.mean) <= effect.half_width:
        return "no effect shown"
    return "better" if effect.mean > 0 else "worse"


def _measured(table: Table) -> dict[Claim, str]:
    """What was measured here of what is claimed."""
    return {claim: layout.interval(row.mean, row.half_width) for row in table.rows for claim in row.claims}


def _claim(claim: Claim, measured: Mapping[Claim, str]) -> Markup:
    reported = f"{claim.method} ({claim.reported_method})" if claim.reported_method != claim.method else claim.method
    epoch = claim.epoch or "unspecified"
    if claim.code_epoch and claim.code_epoch != claim.epoch:
        epoch += f" (its code: {claim.code_epoch})"
    source = element("a", claim.locator or "source", href=web_address(claim.source), rel="noreferrer")
    return body_row(
        [
            header_cell(joined([reported, element("small", claim.setting) if claim.setting else None])),
            number_cell(joined([layout.number(claim.value), " ", element("small", "claim", class_="tag")])),
            number_cell(measured.get(claim, layout.NOTHING)),
            text_cell(epoch),
            number_cell(layout.number(claim.teacher_accuracy)),
            number_cell(claim.seeds if claim.seeds is not None else layout.NOTHING),
            text_cell(joined([claim.reference or claim.paper, element("small", _whose(claim))])),
            text_cell(source if web_address(claim.source) else claim.locator),
            text_cell(
                f"{claim.range_low:.2f} to {claim.range_high:.2f}"
                if claim.range_low is not None and claim.range_high is not None
                else layout.NOTHING
            ),
        ]
    )


def _whose(claim: Claim) -> str:
    whose = {"own": "its own method", "other": "another's method", "reference": "reference"}.get(
        claim.claim, claim.claim
    )
    return f"{claim.kind}: {whose}"
