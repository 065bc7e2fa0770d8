"""Discovery: good plugins bring their parts, broken ones a reason, and no plugin stops another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dfkdbench.errors import DfkdbenchError, UnknownNameError
from dfkdbench.registry import CORE, Owned, Registry, Shelf, load_registry

Make = Callable[..., str]
RegistryOf = Callable[[], Registry]

LOSS = """
    from dfkdbench.descriptors import Component
    from dfkdbench.hookspecs import hookimpl

    API = 1

    @hookimpl
    def dfkdbench_losses():
        return [Component(kind="loss", name="{name}", target="x:y", summary="Toy.", role="image")]
"""

BROKEN = {
    "import error": ("import no_such_module_anywhere", "import failed: ModuleNotFoundError"),
    "exit on import": ("raise SystemExit(3)", "import failed: SystemExit: 3"),
    "syntax error": ("def (", "import failed: SyntaxError"),
    "no API number": (
        "",
        "made for plugin API None, this is dfkdbench 0.1.0 with plugin API 1: its module says no API",
    ),
    "newer API number": ("API = 99", "made for plugin API 99, this is dfkdbench 0.1.0 with plugin API 1: update dfkdb"),
    "older API number": ("API = 0", "with plugin API 1: look for a newer version of the plugin"),
    "misspelt hook": (
        """
        from dfkdbench.hookspecs import hookimpl
        API = 1
        @hookimpl
        def dfkdbench_generator():
            return []
        """,
        "unknown hook 'dfkdbench_generator'",
    ),
    "wrong argument": (
        """
        from dfkdbench.hookspecs import hookimpl
        API = 1
        @hookimpl
        def dfkdbench_losses(registry):
            return []
        """,
        "registry",
    ),
    "hook raises": (
        """
        from dfkdbench.hookspecs import hookimpl
        API = 1
        @hookimpl
        def dfkdbench_losses():
            raise RuntimeError("out of ideas")
        """,
        "RuntimeError: out of ideas",
    ),
    "hook exits": (
        """
        from dfkdbench.hookspecs import hookimpl
        API = 1
        @hookimpl
        def dfkdbench_losses():
            raise SystemExit(2)
        """,
        "SystemExit: 2",
    ),
    "no list": (
        """
        from dfkdbench.hookspecs import hookimpl
        API = 1
        @hookimpl
        def dfkdbench_losses():
            pass
        """,
        "dfkdbench_losses must give several Component, not NoneType",
    ),
    "wrong items": (
        """
        from dfkdbench.hookspecs import hookimpl
        API = 1
        @hookimpl
        def dfkdbench_losses():
            return ["one_hot"]
        """,
        "dfkdbench_losses must give Component, not str",
    ),
    "loss without role": (LOSS.format(name="x").replace(', role="image"', ""), "must have the role"),
    "unknown need": (
        LOSS.format(name="x").replace('role="image"', 'role="image", needs=frozenset({"batchnorm"})'),
        "'x' has the unknown name 'batchnorm' in needs. Did you mean 'batch_norm'?",
    ),
    "one name twice": (
        LOSS.format(name="x").replace("return [", "return 2 * ["),
        "the loss name 'x' is given twice",
    ),
}


def plugin_named(registry: Registry, name: str) -> Any:
    return next(plugin for plugin in registry.plugins if plugin.name == name)


def test_registry__core_alone(registry: Registry) -> None:
    assert [plugin.name for plugin in registry.plugins] == ["dfkdbench"]
    assert {"conv", "noise", "frozen"} <= set(registry.components["generator"].names())
    assert registry.methods.get("noise").distribution == "dfkdbench"


def test_registry__good_plugin_brings_its_parts(make_distribution: Make, registry_of_site: RegistryOf) -> None:
    module = make_distribution("toy-good", LOSS.format(name="toy"), version="2.5")
    registry = registry_of_site()
    owned = registry.components["loss"].get("toy")
    assert (owned.distribution, owned.distribution_version, owned.module) == ("toy-good", "2.5", module)
    status = plugin_named(registry, "toy-good")
    assert (status.status, status.parts, status.api) == ("ok", ["loss toy"], 1)
    assert [plugin.__name__ for plugin in registry.modules_of("toy-good")] == [module]


@pytest.mark.parametrize("case", BROKEN)
def test_registry__broken_plugin_is_listed_and_stops_nothing(
    case: str, make_distribution: Make, registry_of_site: RegistryOf
) -> None:
    body, reason = BROKEN[case]
    make_distribution("m-broken", body)
    make_distribution("a-before", LOSS.format(name="before"))
    make_distribution("z-after", LOSS.format(name="after"))
    registry = registry_of_site()
    status = plugin_named(registry, "m-broken")
    assert status.status == ("incompatible" if "API" in case else "broken")
    assert reason in status.reason
    assert "\n" not in status.reason
    assert status.parts == []
    assert registry.modules_of("m-broken") == []
    assert {"before", "after", "kl"} <= set(registry.components["loss"].names())
    assert [plugin_named(registry, name).status for name in ("a-before", "z-after", "dfkdbench")] == ["ok"] * 3


def test_registry__slow_plugin_is_loaded_and_remarked_on(
    make_distribution: Make, registry_of_site: RegistryOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dfkdbench.pluginstatus.SLOW_SECONDS", 0.0)
    make_distribution("slow-lab", LOSS.format(name="toy"))
    status = plugin_named(registry_of_site(), "slow-lab")
    assert (status.status, status.parts) == ("ok", ["loss toy"])
    assert status.seconds > 0
    assert status.reason.startswith("slow: ")
    assert status.reason.endswith("-c 'import slow_lab'")


def test_registry__broken_plugin_observes_nothing(make_distribution: Make, registry_of_site: RegistryOf) -> None:
    make_distribution(
        "observer",
        """
        from dfkdbench.hookspecs import hookimpl
        API = 1
        SEEN = []
        @hookimpl
        def dfkdbench_run_finished(run_id):
            SEEN.append(run_id)
        @hookimpl
        def dfkdbench_losses():
            return [1]
        """,
    )
    registry = registry_of_site()
    assert plugin_named(registry, "observer").status == "broken"
    assert registry.manager.hook.dfkdbench_run_finished(run_id="x", result={}) == []


def test_registry__two_plugins_with_one_name(make_distribution: Make, registry_of_site: RegistryOf) -> None:
    make_distribution("first-lab", LOSS.format(name="sharp"), version="1.0")
    make_distribution("second-lab", LOSS.format(name="sharp"), version="0.3")
    shelf = registry_of_site().components["loss"]
    with pytest.raises(DfkdbenchError) as caught:
        shelf.get("sharp")
    assert caught.value.message == (
        "The loss name 'sharp' is claimed by first-lab 1.0 and second-lab 0.3. "
        "Write 'first-lab:sharp' or 'second-lab:sharp'."
    )
    assert shelf.get("second-lab:sharp").distribution == "second-lab"
    assert shelf.get("first-lab:sharp").distribution == "first-lab"
    assert {"first-lab:sharp", "second-lab:sharp"} <= set(shelf.names())
    assert "sharp" not in shelf.names()
    assert shelf.get("kl").distribution == "dfkdbench"


def test_registry__one_module_behind_two_entry_points(make_distribution: Make, registry_of_site: RegistryOf) -> None:
    make_distribution("twice", LOSS.format(name="toy"), entry="one = twice\ntwo = twice")
    registry = registry_of_site()
    first, second = plugin_named(registry, "one"), plugin_named(registry, "two")
    assert (first.status, second.status) == ("ok", "broken")
    assert "registered by another entry point already" in second.reason
    assert registry.components["loss"].get("toy").distribution == "twice"
    assert len([plugin for plugin in registry.modules_of("twice") if plugin is not None]) == 1


def test_registry__aliases(make_distribution: Make, registry_of_site: RegistryOf) -> None:
    make_distribution(
        "with-alias",
        """
        from dfkdbench.descriptors import Method
        from dfkdbench.hookspecs import hookimpl
        from dfkdbench.recipe import Recipe
        API = 1
        @hookimpl
        def dfkdbench_methods():
            return [Method(name="long-name", summary="Toy.", recipe=Recipe(), aliases=("ln",))]
        """,
    )
    methods = registry_of_site().methods
    assert methods.get("ln") is methods.get("long-name")


def test_shelf__unknown_name() -> None:
    shelf: Shelf[str] = Shelf("generator")
    shelf.add("conv", Owned("item", "dfkdbench", "1", "m"))
    with pytest.raises(UnknownNameError) as caught:
        shelf.get("cnov")
    assert caught.value.message == (
        "Unknown generator 'cnov'. Did you mean 'conv'? There is: conv. List them with: dfkdbench list generators"
    )
    assert caught.value.exit_code == 2


def test_installed__the_suites_own_plugins_are_all_there() -> None:
    """Those of the core's distribution too, which are found as everyone's are."""
    ours = {status.name: status for status in load_registry().plugins if status.distribution == CORE}
    assert {"dfkdbench", "local"} <= ours.keys()
    assert {name: status.reason for name, status in ours.items() if status.status != "ok"} == {}
