"""The README's commands are the ones that are run, and its examples work."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import dfkdbench
from dfkdbench.registry import load_registry

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize(
    "command",
    [
        "pip install . ./plugins/*/ && dfkdbench run --plugin rdskd --dataset digits",
        'pip install ".[test]" ./plugins/*/ && pytest',
    ],
)
def test_commands__stand_in_the_readme_with_their_uv_equivalents(command):
    assert re.search(rf"^    {re.escape(command)}$", README, re.MULTILINE)
    assert f"uv {command}" in README


def test_ci__runs_the_test_command_of_the_readme():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert re.search(r'^pip install --quiet "\.\[test\]" \./plugins/\*/ && pytest', script, re.MULTILINE)


def test_links__lead_to_files():
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_python_example__every_name_exists():
    (example,) = (block for block in blocks("python") if "hookimpl" not in block)
    for name in re.findall(r"dfkdbench\.(\w+)", example):
        assert callable(getattr(dfkdbench, name))


def test_plugin_example__is_a_method_that_runs(make_distribution, tmp_path, request):
    (code,) = (block for block in blocks("python") if "hookimpl" in block)
    make_distribution("dfkdbench-mine", code)
    load_registry.cache_clear()
    request.addfinalizer(load_registry.cache_clear)
    (result,) = dfkdbench.run(
        plugin="mine",
        dataset="digits",
        budget="smoke",
        settings={"batch_size": 64, "generator.channels": [8, 8, 8]},
        out=tmp_path / "runs",
    )
    assert result.status == "finished", result.error
    assert result.distribution == "dfkdbench-mine"
