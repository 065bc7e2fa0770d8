"""What plugins hand to the registry: plain descriptions that import no torch.

The code behind a description (`target`, "package.module:attribute") is imported only where it
runs: parts and loops in the sealed worker, data sets in the judge.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from dfkdbench.recipe import Options, Recipe

API = 1
"""Number of the protocol between core and plugins. A plugin built for another number is listed, not loaded."""

Kind = Literal["generator", "loss", "replay", "aggregator", "combiner"]
Role = Literal["image", "student"]

TEACHER_ACCESS = (
    "hard_labels",
    "soft_labels",
    "input_gradients",
    "features",
    "batch_norm",
    "final_layer",
)
"""What a method may see of the teacher, from least to most. The most it uses is its league."""

LABEL_ACCESS = frozenset({"hard_labels", "soft_labels"})
"""Of a teacher that is seen through no more than these, nothing but labels enters the worker."""

PRIORS = ("class_names", "external_prior", "real_samples")
"""Knowledge from outside the teacher. Each makes a league of its own."""

SIGNALS = ("features", "stages", "batch_norm", "heads", "batch_norm_means")
"""What a forward pass can return beside its logits (see `dfkdbench.seams.Taps`).

A model that gives `batch_norm` gives `batch_norm_means` as well.
"""

ACCESS_BEHIND = {
    "features": "features",
    "stages": "features",
    "heads": "features",
    "batch_norm": "batch_norm",
    "batch_norm_means": "features",
}
"""The access that each of `SIGNALS` takes."""

NEEDS = frozenset(
    (
        *TEACHER_ACCESS,
        *PRIORS,
        "stages",
        "batch_norm_means",
        "labels",
        "student",
        "student_features",
        "student_stages",
        "student_heads",
        "network",
        "latents",
        "several_teachers",
    )
)
"""Everything a component may say that it needs.

`labels`: the generator says which class each image was made for. `student`: the loss looks at the
student's output. `network`, `latents`: the generator is a network of latents, and can make its last images
anew. `several_teachers`: makes sense with two or more teachers only.
"""


@dataclass(frozen=True)
class Component:
    """A part that fits one slot of a recipe.

    Attributes:
        kind: The slot.
        name: How users call it; unique within its kind.
        target: "package.module:attribute", called as `attribute(options, setting)` in the worker.
        summary: One line for listings.
        options: Pydantic model of its options; every field has a default and a description.
        role: For losses: on `image`s (trains the generator) or on the `student`.
        needs: What must be there for it to work; names from `NEEDS`.
        provides: What others may count on: `images_with_gradient`, `labels`, `network` and
            `latents` of a generator; `labels` of a replay that keeps those of its images; `readout` of an
            aggregator that the judge fits to the student's heads on labelled real samples, once the worker has
            ended (see `dfkdbench.readout`). Its `real_samples` are for that alone.
        version: Changes whenever the numbers it gives change; part of the run id.
        paper: Where it comes from.
    """

    kind: Kind
    name: str
    target: str
    summary: str
    options: type[Options] = Options
    role: Role | None = None
    needs: frozenset[str] = frozenset()
    provides: frozenset[str] = frozenset()
    version: str = "1"
    paper: str = ""


SelectedBy = Literal["not recorded", "publication", "nothing", "data-free validation", "test accuracy"]


@dataclass(frozen=True)
class Tuning:
    """How values were chosen: what was tried, where, and what decided.

    Attributes:
        selected_by: "publication": taken over from a paper or its code; how its authors chose is not known here.
            "nothing": set before any run. "data-free validation": by runs that no real sample judged. "test accuracy":
            by accuracies on the test set of `cells`. "not recorded": nobody wrote it down.
        trials: Settings that were compared, the one chosen included; None where the number is not recorded.
        cells: Development cells, each as "DATASET TEACHER:STUDENT".
        seeds: Seeds that the trials ran with; empty where they are not recorded.

    Raises:
        ValueError: Values chosen by test accuracy without a cell.
    """

    selected_by: SelectedBy = "not recorded"
    trials: int | None = None
    cells: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.selected_by == "test accuracy" and not self.cells:
            raise ValueError("A tuning by test accuracy names the cells that it looked at.")


NOT_RECORDED = Tuning()
PUBLISHED = Tuning("publication")
UNTUNED = Tuning("nothing", trials=0)


@dataclass(frozen=True)
class Preset:
    """Values that hold for some cells only. An empty field matches everything; later presets win.

    Attributes:
        values: Dotted recipe key -> value, as after `--set`.
        source: Where the values are from, in a few words.
        tuning: How they were chosen. It goes into records, not into run ids.
    """

    values: Mapping[str, Any]
    dataset: str | None = None
    pair: str | None = None
    budget: str | None = None
    source: str = ""
    tuning: Tuning = NOT_RECORDED

    def matches(self, dataset: str, pair: str, budget: str) -> bool:
        """Whether the preset holds for this cell."""
        wanted = ((self.dataset, dataset), (self.pair, pair), (self.budget, budget))
        return all(mine is None or mine == theirs for mine, theirs in wanted)


@dataclass(frozen=True)
class Method:
    """A recipe over components, with its presets.

    Attributes:
        access: What the method needs of the teacher beyond what its parts declare. `real_samples`
            marks a control that is no data-free method.
        loop: "package.module:Class" of a loop of its own, or None for the standard loop.
        honours: Slots that such a loop uses, and `student_update` where it takes its student steps so; an override of
            another is refused at plan time.
        tuning: How the values of `recipe` were chosen; those of a preset say so themselves.
    """

    name: str
    summary: str
    recipe: Recipe
    presets: tuple[Preset, ...] = ()
    access: frozenset[str] = frozenset()
    loop: str | None = None
    honours: frozenset[str] = frozenset({"generator", "losses", "combiner", "replay", "aggregator"})
    version: str = "1"
    paper: str = ""
    aliases: tuple[str, ...] = ()
    tuning: Tuning = NOT_RECORDED


@dataclass(frozen=True)
class ModelSpec:
    """An architecture, or a family of them.

    Attributes:
        name: How users call it. A family's ends in `.*`, and any name may stand for the star.
        target: "package.module:attribute", called as `attribute(channels, classes, image_size)`. The network takes taps
            (see `dfkdbench.seams.Taps`); `dfkdbench.models.tapped.tapped` makes any network do so. A `*` in a family's
            target stands for the same name as in its own.
        signals: What its forward pass can return beside logits; names from `SIGNALS`. Of a family: what they may have;
            each is asked before it is used.
        image_sizes: Sizes it takes, or empty for any.
        heads: Heads whose logits it gives with the signal `heads`, or 0. A loss that needs `student_heads` and
            `several_teachers` pairs each with a teacher.
    """

    name: str
    target: str
    summary: str
    signals: frozenset[str] = frozenset()
    image_sizes: tuple[int, ...] = ()
    heads: int = 0
    version: str = "1"
    paper: str = ""
    family: bool = False


@dataclass(frozen=True)
class Budget:
    """What a run may spend, in units that do not depend on the method.

    Attributes:
        student_samples: Images the student is trained on.
        teacher_queries: Images each teacher sees, forward; a backward pass counts as one more.
        device_seconds: Time of all stages.
        evaluations: How many snapshots are evaluated, evenly over the student's steps.
    """

    student_samples: int
    teacher_queries: int
    device_seconds: int
    evaluations: int = 10


@dataclass(frozen=True)
class TeacherRecipe:
    """The open recipe that every teacher of a data set is trained by; the last epoch is kept.

    Attributes:
        milestones: Fractions of the steps at which the learning rate is multiplied by `gamma`;
            used by `schedule="multistep"`.
        augment: Random crop (padding of an eighth) and, where `flip`, horizontal flip.
    """

    epochs: int
    batch_size: int = 128
    optimizer: Literal["sgd", "adam"] = "sgd"
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    schedule: Literal["constant", "cosine", "multistep"] = "multistep"
    milestones: tuple[float, ...] = (0.4, 0.6)
    gamma: float = 0.1
    augment: bool = True
    flip: bool = True


@dataclass(frozen=True)
class DatasetSpec:
    """A data set: its shape, its default cell and where its loader is. Loaded in the judge only.

    Attributes:
        target: "package.module:attribute", called as `attribute(root, train, download)`; gives `ImageSet`.
        arguments: Where given, the target is called with `spec`, this description, and these by name besides. So
            `dfkdbench.datasets.vision:load_class` reads any class of torchvision, and
            `dfkdbench.datasets.folders:load_folder` any folder of images.
        root: Folder of its files where that is known; `--data-root` goes before it.
        image_size: Side of the square images in pixels, after resizing.
        mean: Per channel, of the training pixels scaled to 0..1.
        std: Likewise.
        pairs: Suggested "teacher:student" pairs, the default first.
        budgets: Tier name -> budget.
        teacher: The open recipe; `teacher_smoke` a short one for `--budget smoke`.
        files: What must lie in the data root, for the error message.
    """

    name: str
    target: str
    summary: str
    classes: int
    channels: int
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    pairs: tuple[str, ...]
    budgets: Mapping[str, Budget]
    teacher: TeacherRecipe
    teacher_smoke: TeacherRecipe
    default_budget: str = "standard"
    files: str = ""
    needs_root: bool = True
    source: str = ""
    version: str = "1"
    arguments: Mapping[str, Any] | None = None
    root: str = ""
