"""Changes what is not its own: records, folders, the suite's code, what starts next, the judge itself."""

import importlib
import os
import shutil
import signal
import site
import stat
import sys
import sysconfig
from pathlib import Path

RUN = Path("..")


def forges_its_result(loop):
    return (RUN / "result.json").write_text(loop.facts["forged"])


def forges_its_evaluations(loop):
    with (RUN / "evaluations.jsonl").open("a") as file:
        return file.write(loop.facts["forged"])


def edits_its_plan(loop):
    return (RUN / "plan.json").write_text("{}")


def edits_another_record(loop):
    return Path(loop.facts["other"], "result.json").write_text(loop.facts["forged"])


def truncates_another_record(loop):
    os.truncate(Path(loop.facts["other"], "result.json"), 0)


def deletes_another_record(loop):
    Path(loop.facts["other"], "result.json").unlink()


def swaps_its_snapshots_folder_for_a_link(loop):
    (RUN / "snapshots").rename(RUN / "aside")
    (RUN / "snapshots").symlink_to(loop.facts["other"])


def swaps_its_run_folder(loop):
    RUN.resolve().rename(RUN.resolve().with_name("aside"))


def changes_the_suites_code(loop):
    judge = Path(sys.modules["dfkdbench"].__file__).with_name("judge.py")
    with judge.open("a") as file:
        return file.write("\n")


def leaves_a_sitecustomize(loop):
    return [Path(place, "sitecustomize.py").write_text("") for place in (loop.facts["site"], site.getsitepackages()[0])]


def patches_the_judges_modules(loop):
    """In its own process, where the judge is not."""
    weights = importlib.import_module("dfkdbench.weights")
    files = importlib.import_module("dfkdbench.files")
    weights.parse_weights = files.read_no_follow = files.sha256_of = lambda *_, **__: "patched"
    os.environ["PYTHONPATH"] = os.environ["PYTHONSTARTUP"] = str(Path.cwd())
    return "patched"


def signals_the_judge(loop):
    os.kill(loop.facts["judge"], signal.SIGUSR2)


def changes_the_mode_of_another_record(loop):
    path = Path(loop.facts["other"], "result.json")
    path.chmod(0o600)
    return oct(stat.S_IMODE(path.stat().st_mode))


def plants_startup_code_for_its_next_start(loop):
    """Where Python looks for packages of the user before it runs anything, in a home folder of its own."""
    if Path("planted").exists():
        return
    code = f"import pathlib; pathlib.Path({loop.facts['sprung']!r}).write_text('sprung')\n"
    user = sysconfig.get_path("purelib", "posix_user", {"userbase": str(Path.home() / ".local")})
    for place in (Path(user), Path.cwd(), Path.home()):
        place.mkdir(parents=True, exist_ok=True)
        (place / "usercustomize.py").write_text(code)
        (place / "sitecustomize.py").write_text(code)
        (place / "planted.pth").write_text(code)
    Path("planted").touch()
    os._exit(1)


def links_its_scratch_folders_elsewhere(loop):
    """For the judge that prepares the next start, and then as a file in a folder's place."""
    if Path("planted").exists():
        return
    for name in ("home", "cache"):
        shutil.rmtree(name)
    Path("home").symlink_to(Path(loop.facts["sprung"]))
    Path("cache").touch()
    Path("planted").touch()
    os._exit(1)
