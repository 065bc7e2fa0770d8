"""From a request to plans: looks everything up, gets data and teachers ready, and says what will run."""

from __future__ import annotations

import importlib.util
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from dfkdbench.config import Resolved
from dfkdbench.datasets.images import ImageSet, make_resident
from dfkdbench.datasets.loading import has_to_be_read, load_dataset
from dfkdbench.descriptors import Method
from dfkdbench.devices import choose_device, fitting_threads
from dfkdbench.errors import PlanError
from dfkdbench.files import read_json
from dfkdbench.judge import Bench
from dfkdbench.launch import Launch, TeacherLaunch
from dfkdbench.lookup import look_up, resolve_for
from dfkdbench.models.settling import check_final_layer
from dfkdbench.places import assets_folder, data_folder
from dfkdbench.plan import Cell, Plan, make_plan
from dfkdbench.readout import take_samples
from dfkdbench.registry import CORE, Owned, Registry, load_registry
from dfkdbench.runfolder import RunFolder
from dfkdbench.sandbox import SandboxError, expand, worker_policy
from dfkdbench.sandbox.worker import SHARED_MEMORY
from dfkdbench.sharing import BatchStatistics, check_machine, sharing_of
from dfkdbench.shortcuts import CAPTURES, SHORTCUTS
from dfkdbench.teachers.card import TeacherBundle
from dfkdbench.teachers.provision import TeacherProgress, TeacherSource
from dfkdbench.tuning import provenance_of
from dfkdbench.workerprocess import IN_PROCESS


@dataclass(frozen=True)
class Request:
    """What was asked for, as on the command line.

    Attributes:
        settings: "key=value" strings, as for `--set`.
        losses: "name[=weight]" strings, as for `--loss`.
        teacher_count: Number of teachers, of seeds 0, 1, ...
        teacher: Name or hash of one pinned teacher, instead of the one of seed 0.
        threads: CPU threads of the worker, or none: as many as its images are worth.
        cores: Where the worker may run; anywhere where there are none.
        shortcuts: Those of `dfkdbench.shortcuts` that are in force.
        capture: How rounds may be captured, of `dfkdbench.shortcuts.CAPTURES`.
        checkpoint_seconds: Seconds between checkpoints.
        processes: With `batch_statistics`, see `dfkdbench.sharing.Sharing`.
    """

    plugin: str
    dataset: str
    pair: str | None = None
    budget: str | None = None
    seeds: tuple[int, ...] = (0,)
    settings: tuple[str, ...] = ()
    config_file: Path | None = None
    generator: str | None = None
    losses: tuple[str, ...] = ()
    replay: str | None = None
    aggregator: str | None = None
    combiner: str | None = None
    teacher_count: int = 1
    teacher: str | None = None
    data_root: Path | None = None
    download: bool = False
    out: Path = Path("runs")
    device: str = "auto"
    threads: int | None = None
    cores: tuple[int, ...] = ()
    shortcuts: tuple[str, ...] = tuple(SHORTCUTS)
    capture: str = CAPTURES[0]
    isolation: str = "auto"
    checkpoint_seconds: float = 30.0
    processes: int = 1
    batch_statistics: BatchStatistics | None = None


@dataclass
class Prepared:
    """A request with everything found: what each seed's plan is made of."""

    request: Request
    registry: Registry
    method: Owned[Method]
    resolved: Resolved
    cell: Cell
    device: str
    test_set: ImageSet = field(repr=False)
    teachers: list[TeacherBundle]
    readout_samples: ImageSet | None = field(default=None, repr=False)

    def plan(self, seed: int) -> Plan:
        """The plan of a seed."""
        hashes = {bundle.card.name: bundle.card.sha256 for bundle in self.teachers}
        samples = self.readout_samples.fingerprint() if self.readout_samples else None
        chosen = (self.method, self.resolved, self.cell, hashes, seed, self.device)
        return make_plan(*chosen, self.test_set.fingerprint(), samples, sharing_of(self.request))

    def with_settings(self, settings: Sequence[str]) -> Prepared:
        """The same with further "key=value" settings; nothing is loaded again.

        Raises:
            DfkdbenchError: A key or value that does not fit.
        """
        request = replace(self.request, settings=(*self.request.settings, *settings))
        resolved = resolve_for(self.registry, self.method, self.cell, request)
        return replace(self, request=request, resolved=resolved)

    def bench(self, plan: Plan) -> Bench:
        """What the judge brings to a plan."""
        return Bench(
            test_set=self.test_set,
            launch=lambda folder, temporary, apart: self._launch(plan, folder, temporary, apart),
            teacher_accuracy=self.teachers[0].card.accuracy,
            teacher_weights=tuple(bundle.weights for bundle in self.teachers),
            notify=lambda hook, participants, **arguments: notify(self.registry, hook, participants, **arguments),
            evaluation_device=torch.device(self.device),
            student_heads=self.cell.student.item.heads,
            readout_samples=self.readout_samples,
            provenance=provenance_of(self.registry, plan),
        )

    def _launch(self, plan: Plan, folder: RunFolder, temporary: Path, apart: Path) -> Launch:
        """Start parameters; a run that was started before keeps those that rounding depends on."""
        request = self.request
        threads = request.threads or max(1, fitting_threads(plan.input.image_size) // plan.processes)
        shortcuts, capture = request.shortcuts, request.capture
        if folder.launch.exists():
            before = read_json(folder.launch)
            threads, shortcuts = int(before["threads"]), tuple(before.get("shortcuts", shortcuts))
            capture = before.get("capture", capture)
        weights = tuple(bundle.weights for bundle in self.teachers)
        own = (*folder.writable(), temporary)
        teacher = None
        if plan.teachers_apart and request.isolation != IN_PROCESS:
            policy = self._policy(plan, folder, (folder.plan, *weights), (apart,), (SHARED_MEMORY,))
            paths = tuple(map(str, weights))
            teacher = TeacherLaunch(
                weights=paths,
                threads=threads,
                shortcuts=shortcuts,
                isolation=request.isolation,
                policy=policy,
            )
            weights = ()
        return Launch(
            teacher_weights=tuple(map(str, weights)),
            threads=threads,
            shortcuts=shortcuts,
            capture=capture,
            checkpoint_seconds=request.checkpoint_seconds,
            report_seconds=0.5,
            isolation=request.isolation,
            cores=request.cores,
            processes=plan.processes,
            policy=self._policy(plan, folder, (folder.plan, folder.launch, *weights), own),
            teacher=teacher,
            data_root=str(request.data_root) if plan.side == "judge" and request.data_root else None,
        )

    def _policy(
        self,
        plan: Plan,
        folder: RunFolder,
        reads: Sequence[Path],
        writes: Sequence[Path],
        closed: Sequence[Path] = (),
    ) -> str:
        """What a process of the run may touch, as text: no data, no other run, no accuracy, no teacher unless named."""
        others = [path for path in folder.root.parent.iterdir() if path != folder.root]
        shipped = [path for path in assets_folder().rglob("*") if path.is_file() and path not in reads]
        protected = [*closed, *shipped, *others, *_copies_of_shipped_data()]
        protected += [folder.evaluations, folder.metrics, folder.result, folder.readout]
        protected += [bundle.weights for bundle in self.teachers if bundle.weights not in reads]
        protected.append(data_folder())
        if root := self.request.data_root or self.cell.dataset.item.root:
            protected.append(Path(root))
        roots = [Path(module.__file__).parent for module in self._modules(plan) if module.__file__]
        try:
            return expand(worker_policy(reads, writes, protected, roots)).to_json()
        except SandboxError as error:
            raise PlanError(f"The worker can't be sealed: {error}") from None

    def _modules(self, plan: Plan) -> list[Any]:
        """Top-level modules of the plugins that take part, wherever they are installed."""
        registered = [module for name in plan.participants for module in self.registry.modules_of(name)]
        return [sys.modules[module.__name__.partition(".")[0]] for module in registered]


def prepare(request: Request, progress: TeacherProgress, registry: Registry | None = None) -> Prepared:
    """Looks up everything a request names, loads the test set, and trains the teacher where it is missing.

    Args:
        progress: Shows the training of a teacher that is missing.

    Raises:
        DfkdbenchError: Anything asked for that is not there or does not fit.
    """
    registry = registry or load_registry()
    method, cell, resolved = look_up(registry, request)
    spec = cell.dataset.item
    device = choose_device(request.device)
    # A plan with stand-in hashes refuses what can't work before any data is loaded or teacher trained.
    stand_ins = dict.fromkeys(map(str, range(request.teacher_count)), "")
    draft = make_plan(method, resolved, cell, stand_ins, 0, device, "", sharing=sharing_of(request))
    check_machine(draft, request.isolation)
    if "final_layer" in draft.access:
        check_final_layer(cell.teacher, spec)
    readout = draft.readout
    samples = None
    if readout is not None:
        samples = take_samples(readout, load_dataset(spec, request.data_root, train=True, download=request.download))
    test_set = make_resident(load_dataset(spec, request.data_root, train=False, download=request.download), device)
    if has_to_be_read(test_set):
        progress(
            f"data     reading the {len(test_set):,} test images of {spec.name} once; their hash will be remembered"
        )
    source = TeacherSource(
        spec,
        cell.teacher.item,
        data_root=request.data_root,
        download=request.download,
        device=device,
        smoke=cell.budget_name == "smoke",
        progress=progress,
    )
    if request.teacher is not None and request.teacher_count > 1:
        raise PlanError("--teacher pins one teacher and --teachers asks for several; give one of the two.")
    if request.teacher is not None:
        teachers = [source.pinned(request.teacher)]
    else:
        teachers = [source.of_seed(seed) for seed in range(request.teacher_count)]
    return Prepared(request, registry, method, resolved, cell, device, test_set, teachers, samples)


def notify(registry: Registry, hook: str, participants: frozenset[str], **arguments: Any) -> None:
    """Calls an observer hook; accuracies do not go to distributions that take part in the run.

    An observer that fails is warned about: it never ends a run.
    """
    blind = hook in ("dfkdbench_evaluated", "dfkdbench_run_finished")
    removed = [module for name in participants - {CORE} for module in registry.modules_of(name)] if blind else []
    try:
        registry.manager.subset_hook_caller(hook, remove_plugins=removed)(**arguments)
    except Exception as error:  # observers are other people's code
        warnings.warn(f"An observer of {hook} failed: {type(error).__name__}: {error}", stacklevel=2)


def _copies_of_shipped_data() -> list[Path]:
    """Where other installed packages keep the digits images too."""
    package = importlib.util.find_spec("sklearn")
    places = (package.submodule_search_locations or ()) if package else ()
    return [Path(place) / "datasets" / "data" for place in places]
