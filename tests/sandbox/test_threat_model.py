from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_threat_model__names_tests_that_exist() -> None:
    page = (ROOT / "docs/threat-model.md").read_text()
    named = re.findall(r"`(test_\w+__\w+)(?:\[([^`]+)\])?`", page)
    sources = "\n".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    assert len(named) > 20
    for function, case in named:
        assert f"def {function}(" in sources, function
        assert not case or f'"{case}"' in sources, f"{function}[{case}]"
