"""Rules of the whole tree: who may know whom, and what the core may not name."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import dfkdbench

PACKAGE = Path(dfkdbench.__file__).parent
ROOT = Path(__file__).resolve().parent.parent
PLUGINS = ROOT / "plugins"
MODULES = sorted(PACKAGE.rglob("*.py"))

DISTINCT_METHODS = {
    "dafl",
    "rdskd",
    "zskd",
    "zskt",
    "deepinversion",
    "dfad",
    "dfq",
    "cmi",
    "cdfkd",
    "predfkd",
    "fastdfkd",
    "nayer",
    "kakr",
    "mbdfkd",
}
METHODS_THAT_ARE_WORDS = {"fast", "mad", "adi", "sse", "dream"}
JUDGE_SIDE = {"judge", "intake", "control", "bench", "lookup", "api", "evaluate", "readout"}
JUDGE_SIDE_PACKAGES = {"teachers", "cli", "datasets", "verification", "figures", "conformance", "campaigns"}


def plugin_names() -> set[str]:
    return {folder.name for folder in PLUGINS.iterdir() if folder.is_dir()} if PLUGINS.is_dir() else set()


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports_of(tree: ast.Module) -> Iterator[str]:
    """Everything imported anywhere in a module, dotted; `from a import b` counts as `a` and `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def identifiers_of(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        for field in ("id", "attr", "arg", "name", "asname", "module"):
            value = getattr(node, field, None)
            if isinstance(value, str):
                yield line, value


def strings_of(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """String constants that are no docstring: strings that stand as a statement are documentation."""
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node.lineno, node.value


def words_of(identifier: str) -> set[str]:
    """`load_ZSKTModel2` -> load, zskt, model, 2 and the whole without underscores."""
    pieces = re.findall(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+", identifier)
    return {piece.lower() for piece in pieces} | {identifier.replace("_", "").lower()}


def methods_named_in(tree: ast.Module, methods: set[str]) -> list[str]:
    found = [f"{line}: {name}" for line, name in identifiers_of(tree) if words_of(name) & methods]
    for line, text in strings_of(tree):
        if re.search(r"\b(19|20)\d\d\b", text):  # a citation says where something is from
            continue
        words = set(re.split(r"[^a-z0-9]+", text.lower()))
        squeezed = {text.lower().replace("-", "").replace("_", "")}
        if (words | squeezed) & methods or text.lower() in METHODS_THAT_ARE_WORDS:
            found.append(f"{line}: {text!r}")
    return found


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("def load_dafl(): pass", True),
        ("class RDSKDLoss: pass", True),
        ("x = f(method='dafl')", True),
        ("x = f'use {y} of DAFL'", True),
        ("import dfkdbench_rdskd", True),
        ("x = 'fast'", True),
        ("x = 'a fast loop'", False),
        ("def f():\n    '''As DAFL does.'''", False),
        ("x = 1\n'''As DAFL does.'''", False),
        ("x = 1  # as DAFL does", False),
        ("x = 'DAFL, Chen et al., ICCV 2019'", False),
        ("x = 'made, academic'", False),
    ],
)
def test_search_for_methods__sees_names_and_not_citations(code: str, found: bool) -> None:
    assert bool(methods_named_in(ast.parse(code), DISTINCT_METHODS)) == found


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_core__names_no_method(path: Path) -> None:
    assert methods_named_in(parse(path), DISTINCT_METHODS | plugin_names()) == []


def test_core__assets_name_no_method() -> None:
    """But for the published figures: claims of papers, which say whose they are."""
    methods = DISTINCT_METHODS | plugin_names()
    for path in (PACKAGE / "assets").rglob("*"):
        if path.parent.name == "published":
            assert path.suffix in (".csv", ".md"), path
            continue
        assert not words_of(path.stem.replace("-", "_")) & methods, path
        if path.suffix in (".json", ".md", ".toml", ".txt", ".csv"):
            words = set(re.split(r"[^a-z0-9]+", path.read_text(encoding="utf-8").lower()))
            assert not words & methods, path


def test_plugins__import_no_plugin() -> None:
    for path in PLUGINS.rglob("*.py") if PLUGINS.is_dir() else ():
        own = f"dfkdbench_{path.relative_to(PLUGINS).parts[0].replace('-', '_')}"
        foreign = [name for name in imports_of(parse(path)) if re.match(r"dfkdbench_\w", name)]
        assert {name.split(".")[0] for name in foreign} <= {own}, path


def test_core__imports_no_plugin() -> None:
    for path in MODULES:
        assert not [name for name in imports_of(parse(path)) if name.startswith("dfkdbench_")], path


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_datasets__are_for_the_judges_side(path: Path) -> None:
    """Only the judge's side may import data sets; the registry's own plugin takes their descriptions."""
    name = module_name(path)
    used = {imported for imported in imports_of(parse(path)) if re.match(r"dfkdbench\.datasets\b", imported)}
    if name in JUDGE_SIDE or name.split(".")[0] in JUDGE_SIDE_PACKAGES:
        return
    allowed = {"dfkdbench.datasets.specs", "dfkdbench.datasets.specs.DATASETS"} if name == "builtin" else set()
    assert used <= allowed


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_modules__are_short_and_free_of_forbidden_shortcuts(path: Path) -> None:
    tree = parse(path)
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300
    for node in ast.walk(tree):
        where = f"{module_name(path)}:{getattr(node, 'lineno', 0)}"
        assert not isinstance(node, ast.Assert), f"{where}: assert"
        assert not (isinstance(node, ast.ExceptHandler) and node.type is None), f"{where}: bare except"
        assert not (isinstance(node, ast.Name) and node.id in ("hasattr", "eval", "exec")), f"{where}: {node.id}"


def modules_after(code: str) -> set[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(PACKAGE.parent), *filter(None, sys.path)])}
    code += "\nimport sys; print('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_worker__imports_nothing_heavy_before_the_seal() -> None:
    heavy = {"torch", "numpy", "pydantic", "pluggy", "click", "safetensors"}
    assert not heavy & modules_after("import dfkdbench.worker, dfkdbench.together, dfkdbench.teacherprocess")


def test_worker__never_imports_data_sets_or_the_judge() -> None:
    loaded = modules_after(
        "import dfkdbench.worker, dfkdbench.teacherprocess, dfkdbench.session, dfkdbench.lockstep, dfkdbench.loop, "
        "dfkdbench.registry"
    )
    assert "torch" in loaded
    assert {name for name in loaded if name.startswith("dfkdbench.datasets")} <= {
        "dfkdbench.datasets",
        "dfkdbench.datasets.specs",
    }
    forbidden = {
        "torchvision",
        "pandas",
        "dfkdbench.judge",
        "dfkdbench.bench",
        "dfkdbench.evaluate",
        "dfkdbench.api",
        "dfkdbench.readout",
    }
    assert not forbidden & loaded
    assert not [
        name
        for name in loaded
        if name.startswith(("dfkdbench.teachers", "dfkdbench.verification", "dfkdbench.figures"))
    ]


def test_boards__are_built_without_torch_and_plugins() -> None:
    loaded = modules_after("import dfkdbench.boards.writing, dfkdbench.boards.merging")
    assert not {"torch", "torchvision", "pandas", "PIL"} & loaded
    assert not [name for name in loaded if re.match(r"dfkdbench_\w", name)]


def test_package__is_cheap_to_import() -> None:
    assert not {"torch", "pandas", "numpy", "pydantic", "click"} & modules_after("import dfkdbench")
