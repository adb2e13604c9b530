"""Under what a training ran: time, threads, device, versions and commit; no part of its result, and never hashed."""

import platform
import subprocess
import time
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import torch

CIRCUMSTANCES: Final = "circumstances.json"
PACKAGES: Final = ("torch", "numpy", "pandas", "stable-baselines3", "gymnasium", "optuna", "hydra-core")
ROOT: Final = Path(__file__).resolve().parent.parent


def describe_circumstances(
    device: torch.device, threads: int, seconds: float, resumed_at: int | None
) -> dict[str, Any]:
    """Describe the present process and machine.

    Args:
        device: That was computed on.
        threads: Of torch.
        seconds: How long it took [s], the time before a kill left out.
        resumed_at: Customer-weeks that were already done when it began; None for none.
    """
    return {
        "seconds": round(seconds, 3),
        "ended": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "resumed_at": resumed_at,
        "threads": threads,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine(),
        "commit": commit(ROOT),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
    }


@cache
def commit(folder: Path) -> str | None:
    """Return the git commit of a checkout, with "+" after it where files differ from it; None where there is no git."""
    try:
        said = [_git(folder, "rev-parse", "HEAD"), _git(folder, "status", "--porcelain", "--untracked-files=no")]
    except (OSError, subprocess.CalledProcessError):
        return None
    return said[0] + ("+" if said[1] else "")


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()
