"""A sitecustomize module: Python runs it before anything else, in judge and worker alike."""

import json
import sys
from pathlib import Path


def reads_before_the_seal():
    facts = json.loads(Path(__file__).with_name("hostile").joinpath("facts.json").read_text(encoding="utf-8"))
    if "dfkdbench.worker" in sys.orig_argv:
        Path(facts["sprung"]).write_text(str(len(Path(facts["digits"]).read_bytes())), encoding="utf-8")
