"""Layers of configuration: precedence, origins, and a message for every wrong key and value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from dfkdbench.config import Resolved, Setting, parse_loss, parse_setting, read_config_file, resolve
from dfkdbench.descriptors import Method, Preset
from dfkdbench.errors import ConfigError, DfkdbenchError, UnknownNameError
from dfkdbench.recipe import LossChoice, OptimizerOptions, Options, PartChoice, Phase, Recipe
from dfkdbench.registry import Registry
from dfkdbench.validation import validate_options

CELL = ("digits", "lenet_s:lenet_xs", "quick")

RECIPE = Recipe(
    generator=PartChoice(name="conv", options={"latent": 64}),
    losses={"one_hot": LossChoice(weight=0.5), "class_entropy": LossChoice(weight=5.0)},
    batch_size=32,
    phases={"distil": Phase(student_steps=2)},
)


def method(*presets: Preset, recipe: Recipe = RECIPE) -> Method:
    return Method(name="toy", summary="Toy.", recipe=recipe, presets=presets)


def resolved_with(registry: Registry, *settings: str, presets: tuple[Preset, ...] = ()) -> Resolved:
    return resolve(registry, method(*presets), CELL, [parse_setting(text) for text in settings])


def message_of(registry: Registry, *settings: str) -> str:
    with pytest.raises(DfkdbenchError) as caught:
        resolved_with(registry, *settings)
    return caught.value.message


def test_resolve__method_alone(registry: Registry) -> None:
    resolved = resolved_with(registry)
    assert resolved.recipe.batch_size == 32
    assert resolved.slots["generator"].options["latent"] == 64
    assert resolved.slots["generator"].options["slope"] == 0.2
    assert {name: part.weight for name, part in resolved.losses.items()} == {"one_hot": 0.5, "class_entropy": 5.0}
    assert resolved.origins == {}


def test_resolve__later_layers_win_and_leave_their_origin(registry: Registry, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("precision = 'bf16'\n[student]\nlr = 0.3\nkind = 'sgd'\n", encoding="utf-8")
    presets = (
        Preset({"batch_size": 64, "student.lr": 0.1, "student.momentum": 0.5}, source="appendix B"),
        Preset({"batch_size": 128}, dataset="digits"),
        Preset({"batch_size": 256}, dataset="cifar10"),
        Preset({"batch_size": 512}, dataset="digits", budget="paper"),
    )
    overrides = [*read_config_file(file), parse_setting("student.lr=0.4")]
    resolved = resolve(registry, method(*presets), CELL, overrides)
    assert resolved.recipe.batch_size == 128
    assert (resolved.recipe.student.lr, resolved.recipe.student.kind, resolved.recipe.precision) == (0.4, "sgd", "bf16")
    assert resolved.origins == {
        "batch_size": "preset",
        "student.momentum": "preset: appendix B",
        "student.lr": "--set",
        "student.kind": "mine.toml",
        "precision": "mine.toml",
    }


def test_resolve__part_change_drops_the_other_parts_options(registry: Registry) -> None:
    preset = Preset({"generator.slope": 0.5, "generator.latent": 7}, source="p")
    resolved = resolved_with(registry, "generator=frozen", presets=(preset,))
    assert resolved.slots["generator"].component.name == "frozen"
    assert resolved.slots["generator"].options["latent"] == 100
    assert resolved.origins == {"generator": "--set"}


def test_resolve__options_of_a_changed_part_in_any_order(registry: Registry, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("[generator]\nlatent = 9\nname = 'frozen'\n", encoding="utf-8")
    from_file = resolve(registry, method(), CELL, read_config_file(file))
    from_flags = resolved_with(registry, "generator.latent=9", "generator=frozen")
    for resolved in (from_file, from_flags):
        assert resolved.slots["generator"].component.name == "frozen"
        assert resolved.slots["generator"].options["latent"] == 9


def test_resolve__nested_option_keeps_its_siblings(registry: Registry) -> None:
    resolved = resolved_with(registry, "generator.optimizer.lr=0.01", "generator.optimizer.clip_norm=null")
    optimizer = resolved.slots["generator"].options["optimizer"]
    assert optimizer == OptimizerOptions(lr=0.01).model_dump(mode="json")


def test_validate_options__nested_default_of_the_outer_model() -> None:
    class Toy(Options):
        optimizer: OptimizerOptions = Field(OptimizerOptions(kind="sgd", lr=0.5), description="Toy.")

    assert validate_options(Toy, {"optimizer": {"lr": 0.25}}, "toy.")["optimizer"]["kind"] == "sgd"
    assert validate_options(Toy, {"optimizer": {"lr": 0.25}}, "toy.")["optimizer"]["lr"] == 0.25
    assert validate_options(Toy, {}, "toy.")["optimizer"]["lr"] == 0.5


def test_resolve__weight_zero_leaves_a_loss_out(registry: Registry) -> None:
    resolved = resolve(registry, method(), CELL, [parse_loss(registry, "one_hot=0")])
    assert list(resolved.losses) == ["class_entropy"]
    assert list(resolved.recipe.losses) == ["class_entropy"]


def test_resolve__added_loss(registry: Registry) -> None:
    overrides = [parse_loss(registry, "activation=0.1"), parse_loss(registry, "l1")]
    resolved = resolve(registry, method(), CELL, overrides)
    assert resolved.losses["activation"].weight == 0.1
    assert {name: part.weight for name, part in resolved.student_losses.items()} == {"kl": 1.0, "l1": 1.0}
    assert resolved.origins["student_losses.l1.weight"] == "--loss"


def test_resolve__phase_may_name_a_loss_that_was_left_out(registry: Registry) -> None:
    recipe = RECIPE.model_copy(update={"phases": {"distil": Phase(losses=("one_hot", "class_entropy"))}})
    resolved = resolve(registry, method(recipe=recipe), CELL, [parse_loss(registry, "one_hot=0")])
    assert list(resolved.losses) == ["class_entropy"]


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("batch_sise=3", "Unknown key 'batch_sise'. Did you mean 'batch_size'?"),
        ("generatr.latent=3", "Unknown key 'generatr.latent'. Did you mean 'generator'?"),
        ("generator=cnov", "Unknown generator 'cnov'. Did you mean 'conv'?"),
        ("generator.latnet=3", "Unknown key 'generator.latnet'. Did you mean 'latent'?"),
        ("generator.optimizer.lrr=3", "Unknown key 'generator.optimizer.lrr'. Did you mean 'lr'?"),
        ("student.momentun=0.5", "Unknown key 'student.momentun'. Did you mean 'momentum'?"),
        ("student=0.5", "Key 'student' names no setting"),
        ("student_update.knd=joint", "Unknown key 'student_update.knd'. Did you mean 'kind'?"),
        ("student_update=joint", "names no setting of the student's update. Write student_update.kind or so."),
        ("losses.one_hott.weight=1", "Unknown loss 'one_hott'. Did you mean 'one_hot'?"),
        ("losses.one_hott.weight=0", "Unknown loss 'one_hott'. Did you mean 'one_hot'?"),
        ("losses.one_hot=1", "Key 'losses.one_hot' names no setting of a loss."),
        ("losses.class_entropy.log_bas=2", "Unknown key 'losses.class_entropy.log_bas'. Did you mean 'log_base'?"),
        ("losses.kl.weight=1", "The loss 'kl' is a loss on students and can't stand in 'losses'"),
        ("student_losses.kl.temprature=2", "Did you mean 'temperature'?"),
        ("phases.distill.rounds=3", "Unknown key 'phases.distill.rounds'. Did you mean 'distil'?"),
        ("phases.distil.round=3", "Unknown key 'phases.distil.round'. Did you mean 'rounds'?"),
        (
            'phases.distil.losses=["one_hto"]',
            "there is no image loss 'one_hto' in this recipe. Did you mean 'one_hot'?",
        ),
    ],
)
def test_resolve__unknown_key_names_the_nearest(registry: Registry, setting: str, said: str) -> None:
    assert said in message_of(registry, setting)


@pytest.mark.parametrize(
    ("setting", "key", "given"),
    [
        ("batch_size=true", "batch_size", "true"),
        ("batch_size=3.5", "batch_size", "3.5"),
        ("batch_size=0", "batch_size", "0"),
        ("batch_size=NaN", "batch_size", "NaN"),
        ("student.lr=fast", "student.lr", '"fast"'),
        ("student.lr=true", "student.lr", "true"),
        ("student.lr=Infinity", "student.lr", "Infinity"),
        ("student.nesterov=1", "student.nesterov", "1"),
        ("student.nesterov=yes", "student.nesterov", '"yes"'),
        ("student.kind=lion", "student.kind", '"lion"'),
        ("generator=5", "generator.name", "5"),
        ("generator.latent=true", "generator.latent", "true"),
        ("generator.spectral_norm=1", "generator.spectral_norm", "1"),
        ("generator.optimizer.lr=-1", "generator.optimizer.lr", "-1"),
        ("losses.one_hot.weight=true", "losses.one_hot.weight", "true"),
        ("losses.one_hot.weight=false", "losses.one_hot.weight", "false"),
        ("losses.one_hot.weight=NaN", "losses.one_hot.weight", "NaN"),
        ("losses.class_entropy.log_base=3", "losses.class_entropy.log_base", "3"),
        ("phases.distil.rounds=0", "phases.distil.rounds", "0"),
        ("phases.distil.order=both", "phases.distil.order", '"both"'),
    ],
)
def test_resolve__wrong_value_is_shown_with_what_was_expected(
    registry: Registry, setting: str, key: str, given: str
) -> None:
    assert message_of(registry, setting).startswith(f"{key}: given {given}, expected: ")


def test_resolve__short_list_is_refused(registry: Registry) -> None:
    assert "generator.channels" in message_of(registry, "generator.channels=[1]")


def test_resolve__every_wrong_value_is_told_at_once(registry: Registry) -> None:
    said = message_of(registry, "student.lr=0", "batch_size=-1")
    assert len(said.splitlines()) == 2


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("k=3", 3),
        ("k=3.5", 3.5),
        ("k=true", True),
        ("k=null", None),
        ("k=[1,2]", [1, 2]),
        ("k=conv", "conv"),
        ("k=a=b", "a=b"),
        ("k=", ""),
        ('k="3"', "3"),
    ],
)
def test_parse_setting(text: str, value: Any) -> None:
    expected: Setting = ("k", value, "--set")
    assert parse_setting(text) == expected
    assert type(parse_setting(text)[1]) is type(value)


@pytest.mark.parametrize("text", ["batch_size", "=3", ""])
def test_parse_setting__no_key_or_no_value(text: str) -> None:
    with pytest.raises(ConfigError, match="--set takes key=value"):
        parse_setting(text)


def test_parse_loss__unknown_and_no_number(registry: Registry) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'one_hot'"):
        parse_loss(registry, "onehot=1")
    with pytest.raises(ConfigError, match="'much' is no number"):
        parse_loss(registry, "one_hot=much")


def test_read_config_file__missing_and_broken(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Can't read the configuration file .*none\.toml"):
        read_config_file(tmp_path / "none.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("batch_size = \n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"broken\.toml.*line 1"):
        read_config_file(broken)


def test_read_config_file__date_is_no_value(registry: Registry, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("batch_size = 2026-01-01\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="can't be written as JSON"):
        resolve(registry, method(), CELL, read_config_file(file))
