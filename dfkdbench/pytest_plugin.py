"""The kit in an author's own tests, through pytest's entry points. Imports nothing of the suite before it is used.

    @pytest.mark.dfkdbench("mymethod")
    def test_conforms(conformance_check):
        conformance_check()

is one test for each check and each thing of that name (a distribution's name stands for all that it brought), or

    pytest --pyargs dfkdbench.conformance.test_conformance --conforms mymethod
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

MARKER = "dfkdbench"
FIXTURE = "conformance_check"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds --conforms."""
    parser.getgroup("dfkdbench").addoption(
        "--conforms", action="append", default=[], metavar="NAME", help="What test_conformance of dfkdbench checks."
    )


def pytest_configure(config: pytest.Config) -> None:
    """Makes the marker known."""
    config.addinivalue_line("markers", f"{MARKER}(*names, only=(), leave_out=()): what `{FIXTURE}` checks")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test a check and thing."""
    if FIXTURE not in metafunc.fixturenames:
        return
    from dfkdbench.conformance import examinations_of

    marks = list(metafunc.definition.iter_markers(MARKER))
    names = [name for mark in marks for name in mark.args] + metafunc.config.getoption("conforms")
    left_out = {name for mark in marks for name in mark.kwargs.get("leave_out", ())}
    only = {name for mark in marks for name in mark.kwargs.get("only", ())}
    cases = [
        (examination, check)
        for name in names
        for examination in examinations_of(name)
        for check in examination.checks
        if check.name not in left_out and (check.name in only or not only)
    ]
    identifiers = [
        f"{examination.subject.kind}-{examination.subject.spelling}-{check.name}" for examination, check in cases
    ]
    metafunc.parametrize(FIXTURE, cases, ids=identifiers, indirect=True)


@pytest.fixture
def conformance_check(request: pytest.FixtureRequest) -> Callable[[], None]:
    """Makes one check: fails with what to do, or skips with why it does not apply."""
    examination, check = request.param

    def make() -> None:
        outcome = examination.outcome(check)
        if outcome.result == "FAIL":
            pytest.fail(f"{examination.subject}, {check.name}: {outcome.reason}", pytrace=False)
        if outcome.result != "pass":
            pytest.skip(f"{outcome.result}: {outcome.reason}")

    return make
