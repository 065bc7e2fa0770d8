"""What the judge makes of the images that a finished run handed over."""

from __future__ import annotations

from dfkdbench.figures.imagefigures import ImageFigures
from dfkdbench.figures.teachers import JudgesTeachers
from dfkdbench.files import write_atomically
from dfkdbench.handover import HandedOver
from dfkdbench.plan import Plan
from dfkdbench.runfolder import RunFolder
from dfkdbench.samples import write_sheet


def judge_images(plan: Plan, folder: RunFolder, teachers: JudgesTeachers, handed: HandedOver) -> ImageFigures | None:
    """Draws the sheet; keeps synthetic images and asks the teachers about them.

    None for controls on the judge's side: their images are real, and are not kept.
    """
    write_sheet(handed.images, folder.samples, plan.input)
    if plan.side == "judge":
        return None
    write_atomically(folder.synthetic, handed.data)
    return teachers.judge_images(handed)
