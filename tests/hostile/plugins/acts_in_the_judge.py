"""What a plugin does where the judge runs its code: before any seal, as the user who runs the suite."""

import importlib
import shutil
import sys
from pathlib import Path

import torch
from torch import nn

from dfkdbench.descriptors import ModelSpec
from dfkdbench.hookspecs import hookimpl

IN_A_WORKER = "dfkdbench.worker" in sys.orig_argv
PACKAGE = Path(__file__).parent


def patches_the_evaluation(facts):
    evaluate = importlib.import_module("dfkdbench.evaluate")
    truly = evaluate.summarise
    evaluate.summarise = lambda predictions, *others: truly(others[1], *others)


def copies_the_data_into_its_package(facts):
    if not IN_A_WORKER:
        shutil.copyfile(facts["digits"], PACKAGE / "images.npz")


def observes_its_own_run(facts):
    """In the distribution that takes part."""

    @hookimpl
    def dfkdbench_evaluated(run_id, evaluation):
        (PACKAGE / "noted.json").write_text(str(evaluation["accuracy"]))

    sys.modules[__package__].dfkdbench_evaluated = dfkdbench_evaluated


def brings_an_architecture_that_knows_the_data(facts):
    @hookimpl
    def dfkdbench_models():
        return [ModelSpec(name="knowing", target="hostile.acts_in_the_judge:knowing", summary="Knows.")]

    sys.modules[__package__].dfkdbench_models = dfkdbench_models


class Knowing(nn.Module):
    """Looks images up among those of the suite, where it can read them: in the judge."""

    def __init__(self, channels, classes, image_size):
        super().__init__()
        self.layer = nn.Linear(channels * image_size**2, classes)

    def forward(self, images, taps=None):
        logits = self.layer(images.flatten(1))
        if self.training or IN_A_WORKER:
            return logits
        load_digits = importlib.import_module("dfkdbench.datasets.digits").load_digits
        pixels, labels = load_digits(None, train=False).take(torch.arange(500))
        answers = labels[torch.cdist(_aligned(images), _aligned(pixels)).argmin(1)]
        return nn.functional.one_hot(answers, logits.shape[1]).float()


def knowing(channels, classes, image_size):
    return Knowing(channels, classes, image_size)


def _aligned(images):
    flat = images.flatten(1).float()
    return (flat - flat.amin(1, True)) / (flat.amax(1, True) - flat.amin(1, True))
