"""Finds the teacher of a cell, and trains it by the open recipe where there is none yet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dfkdbench.descriptors import DatasetSpec, ModelSpec
from dfkdbench.errors import IntegrityError, PlanError
from dfkdbench.teachers.card import RecipeKind, TeacherBundle, hash_file, teacher_name
from dfkdbench.teachers.store import LIST_COMMAND, TeacherStore


class TeacherProgress(Protocol):
    """Shows how far the training of a teacher is."""

    def __call__(self, line: str) -> None:
        """A line for the user."""
        ...

    def epoch(self, epoch: int, epochs: int, loss: float) -> None:
        """An epoch is done, counted from 1."""
        ...


@dataclass(frozen=True)
class TeacherSource:
    """Where the teachers of a cell come from.

    Attributes:
        smoke: A teacher that has to be trained may be one of the short recipe.
    """

    dataset: DatasetSpec
    arch: ModelSpec
    data_root: Path | None
    download: bool
    device: str
    smoke: bool
    progress: TeacherProgress

    def pinned(self, name: str) -> TeacherBundle:
        """The teacher of that name or hash.

        Raises:
            UnknownNameError: There is none.
            PlanError: It belongs to another data set or architecture.
        """
        bundle = TeacherStore.default().get(name)
        card = bundle.card
        if (card.dataset, card.arch) != (self.dataset.name, self.arch.name):
            raise PlanError(
                f"The teacher '{card.name}' is a {card.arch} for {card.dataset}; this cell needs a {self.arch.name} "
                f"for {self.dataset.name}. List them with: {LIST_COMMAND}"
            )
        return self._checked(bundle)

    def of_seed(self, seed: int) -> TeacherBundle:
        """The teacher of that seed, trained now where there is none."""
        return self.at_hand(seed) or self._train(TeacherStore.default(), seed)

    def at_hand(self, seed: int) -> TeacherBundle | None:
        """The teacher of that seed, where there is one."""
        kind: RecipeKind | None = None if self.smoke else "standard"
        found = TeacherStore.default().find(self.dataset.name, self.arch.name, seed, kind)
        return self._checked(found) if found is not None else None

    def _checked(self, bundle: TeacherBundle) -> TeacherBundle:
        """The bundle, where its weights are the pinned ones; a damaged teacher is refused before anything runs.

        Raises:
            IntegrityError: The weights were changed.
            PlanError: It is a teacher of another version of the data set.
        """
        if bundle.card.dataset_version != self.dataset.version:
            raise PlanError(
                f"The teacher '{bundle.name}' belongs to version {bundle.card.dataset_version} of {self.dataset.name}, "
                f"and this is version {self.dataset.version}. Train it again: dfkdbench teacher train --dataset "
                f"{self.dataset.name} --arch {self.arch.name} --force"
            )
        found = hash_file(bundle.weights)
        if found != bundle.sha256:
            raise IntegrityError(
                f"{bundle.weights} has sha256 {found[:12]}..., its card says {bundle.sha256[:12]}...: the weights "
                "were changed or damaged. Remove the folder to train the teacher again, or pin another with --teacher."
            )
        return bundle

    def _train(self, store: TeacherStore, seed: int) -> TeacherBundle:
        from dfkdbench.datasets.loading import load_dataset
        from dfkdbench.teachers.training import TrainedKind, train_teacher

        kind: TrainedKind = "smoke" if self.smoke else "standard"
        recipe = self.dataset.teacher_smoke if self.smoke else self.dataset.teacher
        name = teacher_name(self.dataset.name, self.arch.name, seed, kind)
        self.progress(
            f"teacher  {name} is not there yet: training it by the {kind} recipe ({recipe.epochs} epochs); "
            f"it will be kept in {store.home}"
        )
        train, test = (load_dataset(self.dataset, self.data_root, part, self.download) for part in (True, False))
        bundle = train_teacher(
            self.dataset,
            self.arch,
            seed,
            train,
            test,
            store.home,
            kind=kind,
            device=self.device,
            on_epoch=self.progress.epoch,
        )
        self.progress(f"teacher  {name}: {bundle.card.accuracy:.2f} % on the test set after the last epoch")
        return bundle
