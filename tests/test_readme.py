"""The README's commands are the ones that are run, and its examples work."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import dfkdbench
from dfkdbench.registry import load_registry

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


QUICKSTART = (ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8")
SCREEN_AND_A_HALF = 80


def python_of(text: str) -> str:
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    return str(code)


def test_length__a_screen_and_a_half():
    assert len(README.splitlines()) <= SCREEN_AND_A_HALF


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


def test_python_example__every_name_exists():
    for name in re.findall(r"dfkdbench\.(\w+)", python_of(QUICKSTART)):
        assert callable(getattr(dfkdbench, name))


def test_plugin_example__is_a_method_that_runs(make_distribution, tmp_path, request):
    make_distribution("dfkdbench-mine", python_of(README))
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
