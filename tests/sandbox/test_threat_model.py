from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_threat_model__names_tests_that_exist() -> None:
    page = (ROOT / "docs/threat-model.md").read_text()
    named = re.findall(r"`(test_\w+__\w+)(?:\[([^`]+)\])?`", page)
    tests = [*(ROOT / "tests").rglob("test_*.py"), *(ROOT / "plugins").glob("*/tests/test_*.py")]
    sources = "\n".join(path.read_text() for path in tests)
    assert len(named) > 20
    for function, case in named:
        assert f"def {function}(" in sources, function
        assert not case or f'"{case}"' in sources, f"{function}[{case}]"
