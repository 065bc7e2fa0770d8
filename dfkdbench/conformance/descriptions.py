"""Checks of what a plugin says about itself: descriptors, targets, options, presets. None imports torch by itself."""

from __future__ import annotations

import functools
import importlib
import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from dfkdbench.config import resolve
from dfkdbench.conformance.checks import Breach, DoesNotApply
from dfkdbench.conformance.subjects import Subject
from dfkdbench.descriptors import Method
from dfkdbench.errors import ConfigError, DfkdbenchError
from dfkdbench.hookspecs import ENTRY_POINT_GROUP
from dfkdbench.recipe import Options
from dfkdbench.validation import validate_options

_HEAVY = ("torch", "torchvision", "pandas")
_LONGEST_SUMMARY = 160
_TIMEOUT = 120

_LISTING = """
import importlib.abc, importlib.metadata, json, sys, time, traceback

class Watch(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in heavy and name not in seen:
            frames = [frame for frame in traceback.extract_stack() if "importlib" not in frame.filename]
            seen[name] = f"{frames[-2].filename}:{frames[-2].lineno}"

module, group, heavy = json.loads(sys.argv[1])
seen = {}
sys.meta_path.insert(0, Watch())
import dfkdbench.registry
entry = importlib.metadata.EntryPoint("subject", module, group)
began = time.perf_counter()
dfkdbench.registry.Registry([entry])
print(json.dumps([seen, time.perf_counter() - began]))
"""


def is_light(subject: Subject) -> str:
    """A fresh interpreter that registers the plugin has imported nothing heavy."""
    module = subject.owned.module
    seen, seconds = _registered_afresh(module)
    if seen:
        told = ", ".join(f"{name} (at {place})" for name, place in seen.items())
        raise Breach(f"Importing {module} and asking its hooks imports {told}.")
    return f"{module} imports none of {', '.join(_HEAVY)}; {seconds:.2f} s"


@functools.cache
def _registered_afresh(module: str) -> tuple[dict[str, str], float]:
    """Heavy modules that registering a plugin imports, with the places that do, and the seconds it takes."""
    given = json.dumps([module, ENTRY_POINT_GROUP, _HEAVY])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-P", "-c", _LISTING, given],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=_TIMEOUT,
    )
    if done.returncode:
        raise Breach(f"A fresh interpreter could not register {module}: {done.stderr.strip()[-300:]}.")
    seen, seconds = json.loads(done.stdout.splitlines()[-1])
    return seen, seconds


def has_target(subject: Subject) -> str:
    """What the description names can be imported and called."""
    item = subject.item
    target = item.loop if isinstance(item, Method) else item.target
    if target is None:
        raise DoesNotApply("the method runs in the standard loop and names no code")
    module, colon, attribute = target.partition(":")
    if not colon or not attribute:
        raise Breach(f"The target '{target}' is not of the form package.module:attribute.")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise Breach(f"The target '{target}' can't be imported: {error}.") from None
    if not callable(found):
        raise Breach(f"The target '{target}' is a {type(found).__name__}, which can't be called.")
    return f"{target} can be called"


def is_described(subject: Subject) -> str:
    """Name, one line of summary, and a docstring where there is code."""
    item = subject.item
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", item.name):
        raise Breach(f"The name '{item.name}' is not made of small letters, digits, '_' and '-'.")
    summary = item.summary.strip()
    if not summary or "\n" in summary:
        raise Breach(f"The summary {item.summary!r} is no line of text.")
    if subject.is_part:
        module, _, attribute = item.target.partition(":")
        try:
            code = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError):
            raise DoesNotApply("its target can't be imported; see target") from None
        if not (inspect.getdoc(code) or "").strip() or code.__doc__ is None:
            raise Breach(f"{item.target} has no docstring.")
    return f"{len(summary)} characters of summary"


def has_strict_options(subject: Subject) -> str:
    """Defaults go to JSON and back; unknown keys and wrong types are refused with the key's name."""
    model = _options_of(subject)
    place = f"{model.__module__}:{model.__qualname__}"
    if getattr(importlib.import_module(model.__module__), model.__qualname__, None) is not model:
        raise Breach(f"The worker would look for its options at {place}, and they are not there.")
    silent = [name for name, field in model.model_fields.items() if field.is_required() or not field.description]
    if silent:
        raise Breach(f"The option '{silent[0]}' has no default or no description.")
    defaults = validate_options(model, {}, "")
    if validate_options(model, json.loads(json.dumps(defaults)), "") != defaults:
        raise Breach("The options are others after a round trip through JSON.")
    if not _refuses(model, {"no_such_option": 1}, "no_such_option"):
        raise Breach("The unknown key 'no_such_option' is not refused.")
    for name, wrong in _wrong_values(model):
        if not _refuses(model, {name: wrong}, name):
            raise Breach(f"The option '{name}' takes {json.dumps(wrong)}, which is of another type than its default.")
    return f"{len(model.model_fields)} options"


def _options_of(subject: Subject) -> type[Options]:
    model = subject.item.options
    if isinstance(model, type) and issubclass(model, Options):
        return model
    raise Breach(f"Its options are {model!r}, which is no dfkdbench.Options.")


def _refuses(model: type[Options], options: dict[str, Any], name: str) -> bool:
    """Whether options are refused with the name of the wrong one."""
    try:
        validate_options(model, options, "")
    except ConfigError as refusal:
        return name in refusal.message
    return False


def _wrong_values(model: type[Options]) -> Iterator[tuple[str, Any]]:
    """For each option a value of another type than its default has: text for numbers, 1 for truth values, and so on."""
    for name, field in model.model_fields.items():
        default = field.get_default(call_default_factory=True, validated_data={})
        match default:
            case bool():
                yield name, 1
            case int() | float():
                yield name, True
                yield name, str(default)
            case str() | BaseModel() | tuple() | list() | dict():
                yield name, 1


def resolves(subject: Subject) -> str:
    """The recipe and every preset name parts and keys that exist, with values they take."""
    method: Method = subject.item
    cells = {("", "", ""), *((one.dataset or "", one.pair or "", one.budget or "") for one in method.presets)}
    for cell in sorted(cells):
        try:
            resolve(subject.registry, method, cell)
        except DfkdbenchError as error:
            where = " ".join(filter(None, cell)) or "no preset"
            raise Breach(f"The recipe can't be resolved ({where}): {error.message}") from None
    unsaid = [preset for preset in method.presets if not preset.source]
    if unsaid:
        raise Breach(f"The preset {dict(unsaid[0].values)} does not say where its values are from.")
    return f"the recipe and {len(method.presets)} presets"
