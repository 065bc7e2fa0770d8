"""Where teachers are looked for. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dfkdbench.errors import ConfigError, IntegrityError, UnknownNameError, unknown_name
from dfkdbench.places import assets_folder, home_folder
from dfkdbench.teachers.card import RecipeKind, TeacherBundle, read_bundle

LIST_COMMAND = "dfkdbench teacher list"
SHORTEST_PREFIX = 6
_PREFERENCE: tuple[RecipeKind, ...] = ("standard", "imported", "smoke")


def shipped_folder() -> Path:
    """The teachers that come with the package."""
    return assets_folder() / "teachers"


def user_folder() -> Path:
    """The user's teachers: `$DFKDBENCH_HOME/teachers`, else `dfkdbench/teachers` in the user's cache."""
    return home_folder() / "teachers"


@dataclass(frozen=True)
class TeacherStore:
    """Teachers in several folders; of two with one name, that of the first folder counts.

    Args:
        folders: Searched in order; those that don't exist are empty. New teachers go to the last.
    """

    folders: Sequence[Path]

    @classmethod
    def default(cls) -> TeacherStore:
        """The shipped teachers, then the user's."""
        return cls((shipped_folder(), user_folder()))

    @property
    def home(self) -> Path:
        """Where new teachers go."""
        return self.folders[-1]

    def scan(self) -> tuple[list[TeacherBundle], list[str]]:
        """All readable teachers by name, and one sentence for each damaged one."""
        found: dict[str, TeacherBundle] = {}
        complaints: list[str] = []
        for place in self.folders:
            for folder in sorted(place.iterdir()) if place.is_dir() else ():
                if not folder.is_dir() or folder.name.startswith("."):
                    continue
                try:
                    found.setdefault(folder.name, read_bundle(folder))
                except IntegrityError as error:
                    complaints.append(error.message)
        return [found[name] for name in sorted(found)], complaints

    def all(self) -> list[TeacherBundle]:
        """All readable teachers, sorted by name."""
        return self.scan()[0]

    def find(self, dataset: str, arch: str, seed: int | None, kind: RecipeKind | None = None) -> TeacherBundle | None:
        """The teacher of a cell, or None.

        Args:
            seed: Seed it was trained with, or None for imported ones.
            kind: Its recipe, or None for any: then standard before imported before smoke.
        """
        fitting = [
            bundle
            for bundle in self.all()
            if (bundle.card.dataset, bundle.card.arch, bundle.card.seed) == (dataset, arch, seed)
            and kind in (None, bundle.card.kind)
        ]
        return min(fitting, key=lambda bundle: _PREFERENCE.index(bundle.card.kind), default=None)

    def get(self, name_or_sha: str) -> TeacherBundle:
        """The teacher of this name, or the one whose weights' hash starts like this (6 digits or more).

        Raises:
            UnknownNameError: There is none.
            ConfigError: The hash prefix fits several.
            IntegrityError: There is one of this name, but it is damaged.
        """
        bundles = {bundle.name: bundle for bundle in self.all()}
        if name_or_sha in bundles:
            return bundles[name_or_sha]
        fitting = [bundle for bundle in bundles.values() if bundle.sha256.startswith(name_or_sha)]
        if fitting and len(name_or_sha) >= SHORTEST_PREFIX:
            return self._only(fitting, name_or_sha)
        self._explain_damage(name_or_sha)
        raise self._unknown(name_or_sha, bundles)

    def _only(self, fitting: Sequence[TeacherBundle], prefix: str) -> TeacherBundle:
        if len({bundle.sha256 for bundle in fitting}) > 1:
            names = ", ".join(f"{bundle.name} ({bundle.sha256[:16]})" for bundle in fitting)
            raise ConfigError(f"Several teachers have a hash that starts with '{prefix}': {names}.")
        return fitting[0]

    def _explain_damage(self, name: str) -> None:
        """Raises what is wrong with a folder of this name, where there is one."""
        for place in self.folders:
            for folder in place.iterdir() if place.is_dir() else ():
                if folder.name == name and folder.is_dir() and not name.startswith("."):
                    read_bundle(folder)

    def _unknown(self, given: str, bundles: dict[str, TeacherBundle]) -> UnknownNameError:
        return unknown_name("teacher", given, bundles, LIST_COMMAND)
