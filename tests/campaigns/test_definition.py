"""Campaign files: products of lists, and mistakes that are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from dfkdbench.campaigns.definition import Campaign, read_campaign
from dfkdbench.errors import ConfigError

HEAD = 'name = "trial"\n[defaults]\ndataset = "digits"\n'


def read(folder: Path, text: str, **overrides: str) -> Campaign:
    path = folder / "campaign.toml"
    path.write_text(text, encoding="utf-8")
    return read_campaign(path, overrides)


def test_product__all_runs_of_a_seed_come_before_the_next(tmp_path: Path) -> None:
    runs = '[[runs]]\nplugin = ["a", "b"]\npair = ["x:y", "z:y"]\nseeds = "0-1"\n'
    choices = read(tmp_path, HEAD + runs).choices()
    told = [(choice.seed, choice.pair, choice.plugin) for choice in choices]
    assert told == [(s, p, m) for s in (0, 1) for p in ("x:y", "z:y") for m in ("a", "b")]


def test_defaults__hold_where_a_table_does_not_say_otherwise(tmp_path: Path) -> None:
    text = HEAD + 'budget = "quick"\n[[runs]]\nplugin = "a"\n[[runs]]\nplugin = "b"\nbudget = ["smoke", "paper"]\n'
    told = [(choice.plugin, choice.budget) for choice in read(tmp_path, text).choices()]
    assert told == [("a", "quick"), ("b", "smoke"), ("b", "paper")]


def test_run_in_two_tables__counts_once(tmp_path: Path) -> None:
    text = HEAD + '[[runs]]\nplugin = "a"\nseeds = [0, 1]\n[[runs]]\nplugin = "a"\nseeds = "1-2"\n'
    assert [choice.seed for choice in read(tmp_path, text).choices()] == [0, 1, 2]


def test_losses_and_settings__tables_are_alternatives(tmp_path: Path) -> None:
    text = (
        HEAD + '[[runs]]\nplugin = "a"\nloss = [{}, { kl = 2 }]\nset = { "student.lr" = 0.01, "generator.x" = true }\n'
    )
    told = [(choice.loss, choice.set) for choice in read(tmp_path, text).choices()]
    settings = {"student.lr": 0.01, "generator.x": True}
    assert told == [({}, settings), ({"kl": 2.0}, settings)]


@pytest.mark.parametrize(
    ("table", "device", "expected"),
    [("gpus = 0.25\n", "cuda", 0.25), ("gpus = 0.25\n", "cpu", 0.0), ("", "cuda:1", 1.0), ("", "cpu", 0.0)],
)
def test_gpus__are_asked_for_by_runs_on_cuda_alone(tmp_path: Path, table: str, device: str, expected: float) -> None:
    campaign = read(tmp_path, f'name = "trial"\n[resources]\n{table}[[runs]]\nplugin = "a"\ndataset = "digits"\n')
    assert campaign.resources.of(device).gpus == expected


def test_overrides__hold_for_every_table(tmp_path: Path) -> None:
    text = HEAD + '[[runs]]\nplugin = "a"\nseeds = "0-4"\nbudget = "paper"\n'
    (choice,) = read(tmp_path, text, budget="smoke", seeds="3").choices()
    assert (choice.budget, choice.seed) == ("smoke", 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD + '[[runs]]\nplugins = "a"\n', r"runs\[1\].plugins'. Did you mean 'plugin'"),
        (HEAD + "[[runs]]\nplugin = 3\n", r"runs\[1\].plugin.*given 3"),
        (HEAD + '[[runs]]\nplugin = "a"\nseeds = "x"\n', "distinct seeds"),
        (HEAD + "[[runs]]\nplugin = []\n", r"runs\[1\].plugin"),
        ('name = "x"\n[[runs]]\nplugin = "a"\n', r"runs\[1\].dataset"),
        (HEAD, r"no \[\[runs\]\]"),
        (HEAD + "runs = 3\n", "campaign.toml"),
        ('nam = "x"\n[[runs]]\nplugin = "a"\ndataset = "b"\n', "Did you mean 'name'"),
        (HEAD + '[resources]\nthread = 1\n[[runs]]\nplugin = "a"\n', "Did you mean 'threads'"),
        ("name = \n", "Can't read the campaign"),
    ],
)
def test_mistakes__are_named_with_the_file(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        read(tmp_path, text)
    assert "campaign.toml" in caught.value.message


def test_missing_file__is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Can't read the campaign"):
        read_campaign(tmp_path / "none.toml")


def test_executor_and_measured__are_read(tmp_path: Path) -> None:
    text = 'name = "x"\nmeasured = ["old"]\n[executor]\nname = "slurm"\npartition = "p"\n'
    campaign = read(tmp_path, text + '[[runs]]\nplugin = "a"\ndataset = "b"\n')
    assert (campaign.executor, campaign.executor_options) == ("slurm", {"partition": "p"})
    assert campaign.measured == (tmp_path / "old",)
