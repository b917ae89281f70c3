"""Where a figure was measured: the machine, its load, and the versions of all that computed."""

import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from socrates_fast.doctor_llama import CPU_INFO, FLAGS, processor_flags
from socrates_fast.runs import environment

BUSY = 0.5
"""Load average per processor above which other programs take part in what is measured."""
_asked = False


class Where(BaseModel):
    """The machine and the software of one run; None where it is not known.

    Attributes:
        cpu: the processor's name.
        flags: its features that llama.cpp can use, by llama.cpp's names.
        cpus: logical processors of the machine.
        threads: that what was measured used.
        gpus: name, driver and memory of each NVIDIA GPU; empty if there is none.
        memory_bytes: of the machine.
        platform: operating system and architecture.
        python: its version.
        versions: of the installed libraries.
        llama: llama.cpp's own system line: what it was built with.
        commit: of the checkout; None outside one.
        dirty: whether the checkout had changes that are not in ``commit``.
        load_average: of the minute before the run.
        command: that was typed, with files' names instead of their places.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, json_schema_serialization_defaults_required=True
    )

    cpu: str
    flags: tuple[str, ...] | None = None
    cpus: int | None = None
    threads: int | None = None
    gpus: tuple[str, ...] | None = None
    memory_bytes: int | None = None
    platform: str
    python: str
    versions: dict[str, str]
    llama: str | None = None
    commit: str | None = None
    dirty: bool | None = None
    load_average: float | None = None
    command: str | None = None


def where(threads: int | None = None, llama: str | None = None) -> Where:
    """The machine at hand, now.

    Args:
        threads: that will be used, where that is known.
        llama: llama.cpp's system line, where it is used.
    """
    here, flags, (commit, dirty) = environment(), processor_flags(), checkout()
    return Where(
        cpu=cpu_name(), flags=tuple(name for name, flag in FLAGS.items() if flag in flags) if flags else None,
        cpus=here["cpus"], threads=threads, gpus=gpus(), memory_bytes=memory_bytes(), platform=here["platform"],
        python=here["python"], versions=versions(), llama=llama, commit=commit, dirty=dirty, load_average=load_average(),
        command=command(),
    )  # fmt: skip


def command() -> str | None:
    """The command that runs, as it would be typed; None in another program. Places of files are this machine's business."""
    started = Path(sys.argv[0])
    if started.name != "socrates-fast" and started.parts[-2:] != ("socrates_fast", "__main__.py"):
        return None
    return shlex.join(
        ["socrates-fast", *(re.sub(r"^(--[\w-]+=)?~?/.*/", r"\1", word) for word in sys.argv[1:])]
    )


def versions() -> dict[str, str]:
    """Versions of this package, of what it depends on and of what computes, by name."""
    here = environment()
    try:
        names = [re.split(r"[^\w.-]", entry)[0] for entry in requires("socrates-fast") or ()]
    except PackageNotFoundError:  # run from a folder that was never installed
        names = []
    found = {"socrates_fast": here["socrates_fast"], **here["packages"]}
    for name in names:
        known = {each.lower().replace("_", "-") for each in found}
        if name.lower().replace("_", "-") in known:
            continue
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return dict(sorted(found.items(), key=lambda one: one[0].lower()))


def cpu_name() -> str:
    """The processor's name as the system gives it."""
    if CPU_INFO.is_file():
        for line in CPU_INFO.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def gpus() -> tuple[str, ...]:
    """Name, driver and memory of each NVIDIA GPU, as its driver gives them."""
    if shutil.which("nvidia-smi") is None:
        return ()
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    said = subprocess.run(query, capture_output=True, text=True, check=False)
    return tuple(said.stdout.strip().splitlines()) if said.returncode == 0 else ()


def memory_bytes() -> int | None:
    """Bytes of the machine's memory; None where the system does not say."""
    if not hasattr(os, "sysconf"):
        return None
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def checkout() -> tuple[str | None, bool | None]:
    """The checkout's commit, and whether it has changes; None outside a checkout, or without git."""
    here = Path(__file__).parents[2]
    if (
        shutil.which("git") is None or not (here / ".git").exists()
    ):  # installed, perhaps in another's checkout
        return None, None
    said = [
        subprocess.run(["git", "-C", str(here), *words], capture_output=True, text=True, check=False)
        for words in (("rev-parse", "--short", "HEAD"), ("status", "--porcelain", "-uno"))
    ]
    if any(one.returncode for one in said):
        return None, None
    return said[0].stdout.strip(), bool(said[1].stdout.strip())


def load_average() -> float | None:
    """Processes that wanted a processor, on average over the last minute; None where the system does not say."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def busy(here: Where) -> str | None:
    """What to tell a person if other programs take part in what is measured."""
    if here.load_average is None or here.load_average <= BUSY * (here.cpus or 1):
        return None
    return (
        f"the machine is busy: load average {here.load_average:.1f} on {here.cpus} processors. Seconds will be too long; "
        "wait, or compare only what takes turns within this run"
    )


def warn_if_busy(here: Where) -> None:
    """Say so on stderr if the machine is busy; once a process, whose own work is a load afterwards."""
    global _asked
    if not _asked and (message := busy(here)):
        print(f"warning: {message}", file=sys.stderr)
    _asked = True
