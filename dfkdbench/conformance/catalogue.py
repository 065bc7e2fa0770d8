"""Every check, in the order in which they are made."""

from __future__ import annotations

from dfkdbench.conformance.checks import Check

_EVERYTHING = frozenset({"generator", "loss", "replay", "aggregator", "combiner", "method", "model", "dataset"})
_PARTS = _EVERYTHING - {"method", "model", "dataset"}
_RUNNING = _PARTS | {"method"}
_METHOD, _MODEL, _DATASET = (frozenset({kind}) for kind in ("method", "model", "dataset"))

CHECKS: tuple[Check, ...] = (
    Check(
        "light",
        "Registering the plugin imports neither torch nor torchvision nor pandas.",
        "Name code in `target` as text and import it nowhere else; keep option models in a module without torch.",
        _EVERYTHING,
        "descriptions:is_light",
    ),
    Check(
        "target",
        "What the description names can be imported and called.",
        "Mend `target` (or `loop`): package.module:attribute of a class or function, in a package that is installed.",
        _EVERYTHING,
        "descriptions:has_target",
    ),
    Check(
        "described",
        "It has a name in small letters, a summary of one line, and a docstring where there is code.",
        "Give the description a summary of one line, and the class a docstring with source, shapes and units.",
        _EVERYTHING,
        "descriptions:is_described",
    ),
    Check(
        "options",
        "Options have defaults and descriptions, go through JSON unchanged, and refuse unknown keys and wrong types.",
        "Derive the options from dfkdbench.Options and leave its model_config alone; give every field a type, a "
        "default and a description.",
        _PARTS,
        "descriptions:has_strict_options",
        after=("target",),
    ),
    Check(
        "presets",
        "The recipe and every preset name parts and keys that there are, with values that they take.",
        "Mend the key that is named; list the keys with: dfkdbench describe NAME. Give every preset a source.",
        _METHOD,
        "descriptions:resolves",
    ),
    Check(
        "access",
        "It runs with a teacher that gives what it declares and no more.",
        "Declare what it uses in `needs` of the Component (or `access` of the Method), or do without.",
        _RUNNING - {"combiner"},
        "company:sees_what_it_declares",
        after=("target", "options", "presets"),
    ),
    Check(
        "shapes",
        "It works for 1 and 3 channels, 16 to 64 pixels and 2 to 100 classes, with the shapes and types of the seams.",
        "Take sizes from the setting or from the tensors given, never from constants; dfkdbench/seams.py has every "
        "shape. What it can't take it refuses with a PlanError.",
        _RUNNING,
        "shapes:fits_images",
        after=("access",),
    ),
    Check(
        "gradients",
        "The objective's gradient reaches the generator, or the student, and is finite.",
        "Don't detach on the way: images that go to the objective stay in the generator's graph, and a loss is a "
        "function of the view's images or of its student.",
        frozenset({"generator", "loss"}),
        "shapes:reaches_images_and_student",
        after=("shapes",),
    ),
    Check(
        "teacher",
        "The teacher's weights, buffers and mode stay what they were.",
        "Treat what a signal holds as read-only: clone before you write.",
        _RUNNING,
        "shapes:leaves_teacher_alone",
        after=("shapes",),
    ),
    Check(
        "state",
        "Its state is plain tensors and numbers, and comes out of a checkpoint as it went in.",
        "state_dict() gives dicts, lists, tensors, numbers, strings and None, and load_state_dict() takes all of it "
        "back in place.",
        _RUNNING,
        "repetition:has_plain_state",
        after=("shapes",),
    ),
    Check(
        "repeats",
        "The same plan twice gives the same student, to the bit.",
        "Draw from setting.rng(role) alone: not from random, NumPy, the clock or variables of a module.",
        _RUNNING,
        "repetition:repeats",
        after=("shapes",),
    ),
    Check(
        "resume",
        "Stopped after any round and resumed from the checkpoint, a run gives the same student, to the bit.",
        "Put everything that later steps depend on into state_dict(): counters, memories, running means, moments.",
        _RUNNING,
        "repetition:resumes",
        after=("state", "repeats", "teacher"),
    ),
    Check(
        "blindness",
        "Sealed runs judged with the test set, with noise and not at all give one student.",
        "Depend on nothing outside the setting: not on hash() of text, process ids, paths, files or the clock.",
        _RUNNING,
        "repetition:is_blind",
        after=("repeats",),
    ),
    Check(
        "host-reads",
        "No tensor is read on the host inside a round.",
        "Keep it a tensor: torch.where instead of if, a mask times a value instead of an index by a mask, no item(), "
        "tolist(), cpu() or print.",
        _RUNNING,
        "steps:reads_nothing",
        after=("shapes",),
    ),
    Check(
        "forwards",
        "No batch goes twice through the same network: a batch's signals are made once and shared.",
        "Take them from the view (view.teacher, view.student) and ask only about other images.",
        _RUNNING,
        "steps:asks_once",
        after=("shapes",),
    ),
    Check(
        "composes",
        "With every built-in part in the other slots it trains, or is refused by name; with some it trains.",
        "Declare what it needs and provides, so that plans refuse what can't work; raise a PlanError for the rest.",
        _RUNNING,
        "company:composes",
        after=("target", "options", "presets"),
    ),
    Check(
        "learns",
        "A student of a hundred steps does better than chance on a toy task.",
        "Look at signs and weights of the losses, and at what the student is trained on: dfkdbench run --dry-run "
        "prints every setting.",
        _METHOD,
        "company:learns",
        after=("shapes",),
    ),
    Check(
        "logits",
        "It gives logits for 1 and 3 channels, its image sizes and 2 to 100 classes.",
        "Build the network from the three arguments of the factory: channels, classes, image size.",
        _MODEL,
        "networks_and_data:gives_logits",
        after=("target",),
    ),
    Check(
        "signals",
        "It gives the signals of its description, and no others.",
        "Fill the taps that forward() is given, and name in `signals` and `heads` what it fills.",
        _MODEL,
        "networks_and_data:gives_its_signals",
        after=("logits",),
    ),
    Check(
        "weights",
        "Its weights depend on the seed alone, travel as safetensors, and an eval pass leaves them as they are.",
        "Initialise from torch's global generator, keep all state in parameters and buffers, write none in eval mode.",
        _MODEL,
        "networks_and_data:has_plain_weights",
        after=("logits",),
    ),
    Check(
        "loads",
        "Training and test images load as the description says, the same each time.",
        "The loader gives uint8 images (N, C, H, W) and labels in a fixed order: sort what a folder lists.",
        _DATASET,
        "networks_and_data:loads",
        after=("target",),
    ),
    Check(
        "splits",
        "Test images are not among the training images.",
        "Split before anything else, by a rule that does not depend on the machine.",
        _DATASET,
        "networks_and_data:keeps_test_images_apart",
        after=("loads",),
    ),
    Check(
        "normalisation",
        "Mean and std of the description are those of the training pixels.",
        "Measure them on the training images scaled to 0..1, per channel.",
        _DATASET,
        "networks_and_data:is_normalised",
        after=("loads",),
    ),
    Check(
        "cells",
        "Its pairs are of installed models that take its images, and its tiers hold the default and `smoke`.",
        "Choose pairs among: dfkdbench list models. Give the tiers smoke, quick and standard.",
        _DATASET,
        "networks_and_data:has_whole_cells",
    ),
)
"""A check comes behind those that it counts on."""
