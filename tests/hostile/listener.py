"""A second distribution of the same people. It takes no part in the run, and so it is told every accuracy."""

from pathlib import Path

from dfkdbench.hookspecs import hookimpl

API = 1
NOTED = Path(__file__).with_name("noted.json")


@hookimpl
def dfkdbench_run_started(run_id):
    NOTED.unlink(missing_ok=True)


@hookimpl
def dfkdbench_evaluated(run_id, evaluation):
    NOTED.write_text(str(evaluation["accuracy"]))
