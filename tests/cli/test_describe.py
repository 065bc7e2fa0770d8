"""`dfkdbench describe`: every option, as `--set` takes it, with type, default, value and origin."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import pytest
from click.testing import CliRunner, Result
from pydantic import Field

from dfkdbench.cli import main
from dfkdbench.cli.describe import tuning_facts
from dfkdbench.cli.optionrows import OptionRow, recipe_rows, type_in_words
from dfkdbench.config import resolve
from dfkdbench.descriptors import PUBLISHED, Method, Preset, Tuning
from dfkdbench.recipe import LossChoice, OptimizerOptions, Options, PartChoice, Phase, Recipe
from dfkdbench.registry import Registry

CELL = ("digits", "lenet_s:lenet_xs", "quick")


def invoke(*arguments: str, exit_code: int = 0) -> Result:
    done = CliRunner().invoke(main, ["describe", *arguments])
    assert done.exit_code == exit_code, done.output
    return done


def options_of(*arguments: str, kind: str) -> dict[str, dict[str, Any]]:
    entry = next(entry for entry in json.loads(invoke(*arguments, "--json").stdout) if entry["kind"] == kind)
    return {option["key"]: option for option in entry["options"]}


def rows_of(registry: Registry, method: Method, *overrides: tuple[str, Any, str]) -> dict[str, OptionRow]:
    return {row.key: row for row in recipe_rows(method, resolve(registry, method, CELL, overrides))}


METHOD = Method(
    name="toy",
    summary="Toy.",
    recipe=Recipe(
        generator=PartChoice(name="conv", options={"latent": 64, "optimizer": {"lr": 0.5}}),
        losses={"class_entropy": LossChoice(weight=5.0, options={"log_base": 10})},
        student=OptimizerOptions(kind="sgd"),
        phases={"warm": Phase(rounds=3, student_steps=0), "distil": Phase()},
    ),
    presets=(
        Preset({"student.lr": 0.1, "phases.warm.rounds": 7}, dataset="digits", source="their table 3"),
        Preset({"batch_size": 512}, dataset="cifar10"),
    ),
)


def test_rows__value_default_and_origin_of_every_layer(registry: Registry) -> None:
    rows = rows_of(registry, METHOD, ("generator.slope", 0.3, "--set"))
    told = {key: (row.value, row.default, row.origin) for key, row in rows.items()}
    assert told["generator"] == ("conv", "conv", "method")
    assert told["generator.latent"] == (64, 100, "method")
    assert told["generator.optimizer.lr"] == (0.5, 1e-3, "method")
    assert told["generator.optimizer.kind"] == ("adam", "adam", "default")
    assert told["generator.slope"] == (0.3, 0.2, "--set")
    assert told["losses.class_entropy.weight"] == (5.0, 1.0, "method")
    assert told["losses.class_entropy.log_base"] == (10, "e", "method")
    assert told["student_losses.kl.weight"] == (1.0, 1.0, "default")
    assert told["student.kind"] == ("sgd", "adam", "method")
    assert told["student.lr"] == (0.1, 1e-3, "preset: their table 3")
    assert told["student.gamma"] == (0.1, 0.1, "default")
    assert told["phases.warm.rounds"] == (7, None, "preset: their table 3")
    assert told["phases.warm.student_steps"] == (0, 1, "method")
    assert told["phases.distil.student_steps"] == (1, 1, "default")
    assert told["batch_size"] == (128, 128, "default")
    assert told["replay"] == ("none", "none", "default")


def test_rows__a_replaced_part_has_nothing_of_the_methods(registry: Registry) -> None:
    rows = rows_of(registry, METHOD, ("generator", "frozen", "--generator"))
    assert (rows["generator"].value, rows["generator"].origin) == ("frozen", "--generator")
    assert (rows["generator.latent"].value, rows["generator.latent"].origin) == (100, "default")
    assert "generator.optimizer.lr" not in rows


def test_rows__same_as_what_the_plan_is_made_of(registry: Registry) -> None:
    """Every key that is shown can be set to the value that is shown, and changes nothing."""
    resolved = resolve(registry, METHOD, CELL)
    rows = recipe_rows(METHOD, resolved)
    names_first = [(row.key, json.loads(json.dumps(row.value)), "--set") for row in rows]
    again = resolve(registry, METHOD, CELL, names_first)
    assert again.recipe.model_dump(exclude={"generator", "combiner", "losses", "student_losses"}) == (
        resolved.recipe.model_dump(exclude={"generator", "combiner", "losses", "student_losses"})
    )
    assert [(part.component, part.options, part.weight) for part in again.parts()] == [
        (part.component, part.options, part.weight) for part in resolved.parts()
    ]


@pytest.mark.parametrize("kind", ["generator", "loss", "replay", "aggregator", "combiner"])
def test_options__every_built_in_part_is_described(kind: str, registry: Registry) -> None:
    for name in registry.components[kind].names():
        for key, option in options_of(name, kind=kind).items():
            assert option["description"], f"{key} of {name}"
            assert option["type"] not in ("", "any"), f"{key} of {name}"
            assert option["value"] == option["default"]


def test_options__loss_keys_are_those_of_their_group() -> None:
    assert set(options_of("kl", kind="loss")) == {
        "student_losses.kl.temperature",
        "student_losses.kl.temperature_squared",
        "student_losses.kl.reduction",
    }
    assert set(options_of("class_entropy", kind="loss")) == {
        "losses.class_entropy.log_base",
        "losses.class_entropy.floor",
    }


def test_describe__values_of_the_cell() -> None:
    digits = options_of("noise", "--dataset", "digits", kind="method")
    cifar = options_of("noise", "--dataset", "cifar10", kind="method")
    assert digits["student.kind"]["value"] == "adam"
    assert cifar["student.kind"]["value"] == "sgd"
    assert cifar["student.kind"]["origin"].startswith("preset")


def test_describe__how_values_were_chosen() -> None:
    tried = Tuning("test accuracy", cells=("digits lenet_s:lenet_xs",), seeds=(10, 11))
    presets = tuple(replace(preset, tuning=tried) for preset in METHOD.presets[:1]) + METHOD.presets[1:]
    method = replace(METHOD, presets=presets, tuning=PUBLISHED)
    here = "digits: by test accuracy on digits lenet_s:lenet_xs, trials not recorded, seeds 10, 11"
    assert tuning_facts(method, ("", "", "")) == f"recipe: from a publication; {here}; cifar10: not recorded"
    assert tuning_facts(method, CELL) == f"recipe: from a publication; {here}"
    (entry,) = json.loads(invoke("random-generator", "--json").stdout)
    assert entry["facts"]["tuning"].endswith("digits: not recorded")


def test_describe__name_of_several_kinds_shows_all() -> None:
    entries = json.loads(invoke("noise", "--json").stdout)
    assert [entry["kind"] for entry in entries] == ["method", "generator"]
    shown = invoke("noise").stdout
    assert "noise: method of dfkdbench" in shown
    assert "noise: generator of dfkdbench" in shown
    assert "It has no options." in shown


def test_describe__table_has_every_column_and_option() -> None:
    shown = invoke("noise", "--dataset", "digits", "--budget", "quick").stdout
    assert "of digits, lenet_s:lenet_xs, tier quick" in shown
    header = next(line for line in shown.splitlines() if line.startswith("option "))
    assert header.split() == ["option", "value", "default", "type", "origin", "description"]
    assert "student.betas" in shown
    assert "[0.9,0.999]" in shown
    assert "Moment decay rates of Adam." in shown


def test_describe__dataset_and_model() -> None:
    shown = invoke("digits").stdout
    assert "lenet_s:lenet_xs, resnet_s:resnet_xs (the first is the default)" in shown
    assert "40,960 student samples" in shown
    shown = invoke("resnet_s").stdout
    assert "batch_norm, features, stages" in shown
    assert "16" in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("cnov",), "Unknown name 'cnov'. Did you mean 'conv'?"),
        (("noise", "--pair", "a:b"), "give --dataset too"),
        (("noise", "--dataset", "digit"), "Unknown dataset 'digit'. Did you mean 'digits'?"),
        (("noise", "--dataset", "digits", "--pair", "lenet_s"), "--pair takes TEACHER:STUDENT, given 'lenet_s'."),
        (("noise", "--dataset", "digits", "--pair", "lenet_s:lenet_x"), "Did you mean 'lenet_xs'?"),
        (("noise", "--dataset", "digits", "--budget", "quik"), "Unknown tier of digits 'quik'. Did you mean 'quick'?"),
    ],
)
def test_describe__errors(arguments: tuple[str, ...], said: str) -> None:
    assert said in invoke(*arguments, exit_code=2).stderr


def test_describe__claimed_by_two(
    make_distribution: Callable[..., str], registry_of_site: Callable[[], Registry], monkeypatch: pytest.MonkeyPatch
) -> None:
    body = """
        from dfkdbench.descriptors import Component
        from dfkdbench.hookspecs import hookimpl
        API = 1
        @hookimpl
        def dfkdbench_replays():
            return [Component(kind="replay", name="pool", target="x:y", summary="{}")]
    """
    make_distribution("one-lab", body.format("First."))
    make_distribution("two-lab", body.format("Second."))
    registry = registry_of_site()
    monkeypatch.setattr("dfkdbench.cli.describe.load_registry", lambda: registry)
    assert "claimed by one-lab 1.0 and two-lab 1.0" in invoke("pool", exit_code=2).stderr
    assert "Second." in invoke("two-lab:pool").stdout


class Toy(Options):
    count: int = Field(1, ge=1, le=5)
    share: float = Field(0.5, gt=0, lt=1)
    maybe: float | None = None
    flag: bool = False
    choice: Literal["a", "b", 3] = "a"
    fixed: Literal["only"] = "only"
    pair: tuple[float, float] = (0.0, 1.0)
    many: tuple[int, ...] = ()
    text: str = ""


def test_type_in_words() -> None:
    schema = Toy.model_json_schema()
    told = {name: type_in_words(entry) for name, entry in schema["properties"].items()}
    assert told == {
        "count": "integer >= 1 and <= 5",
        "share": "number > 0 and < 1",
        "maybe": "number or null",
        "flag": "boolean",
        "choice": "a | b | 3",
        "fixed": "only",
        "pair": "[number, number]",
        "many": "[integer, ...]",
        "text": "string",
    }
