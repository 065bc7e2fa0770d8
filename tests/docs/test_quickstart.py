"""docs/quickstart.md: its first two chapters and its Python example are run as they stand."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from dfkdbench.cli import main

TEXT = (Path(__file__).parents[2] / "docs" / "quickstart.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("chapter", ["A first result", "Change something"])
def test_chapter__runs_as_it_stands(chapter: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    body = TEXT.partition(f"## {chapter}\n")[2].partition("\n## ")[0]
    commands = re.findall(r"^    dfkdbench (.+)$", body, re.MULTILINE)
    assert len(commands) >= 2
    for command in commands:
        one_thread = ["--threads", "1"] if command.startswith("run ") else []
        done = CliRunner().invoke(main, [*shlex.split(command), *one_thread])
        assert done.exit_code == 0, f"{command}\n{done.output}"
    for folder in (tmp_path / "runs").iterdir():
        for name in re.findall(r"`(\w+\.(?:json|jsonl|safetensors|png))`", TEXT):
            assert (folder / name).exists(), name
        assert json.loads((folder / "result.json").read_text(encoding="utf-8"))["status"] == "finished"


def test_python__runs_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    exec(code, {})
    assert re.search(r"noise\s+0\s+\d+\.\d", capsys.readouterr().out)
