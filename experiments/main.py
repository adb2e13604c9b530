"""What every verb shares: composing the configuration, reporting a user's mistake in one line, seeding, threads."""

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from threadpoolctl import threadpool_limits

from campaigns.errors import InputError
from campaigns.offers import Catalog
from experiments.config import Config, Device, register_schemas
from experiments.sweeping import Member, MembersFailedError, failures_line, run_member, this_member, varied_keys
from simulators.blocks import keep_freed_memory

CONF = Path(__file__).resolve().parent.parent / "conf"


def main(verb: Callable[[Config], Any], member: Callable[[Config, Member], Any] | None = None) -> None:
    """Run a verb with the configuration of the command line; a user's mistake ends with one line and exit code 2.

    Args:
        verb: What to do.
        member: What to do as one of the jobs of a sweep, where that is something else.
    """
    register_schemas()
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    varied = varied_keys(sys.argv[1:])
    sweep = f"{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}"

    def body(composed: DictConfig) -> Any:
        if HydraConfig.get().mode is RunMode.MULTIRUN:
            this = this_member(varied)

            def work() -> Any:
                config = _configure(composed)
                return member(config, this) if member else verb(config)

            return run_member(this, Path(composed.runs) / composed.name, sweep, work)
        try:
            return verb(_configure(composed))
        except InputError as error:
            stop(str(error))

    body.__module__, body.__qualname__ = verb.__module__, verb.__qualname__
    with _in_one_line():
        hydra.main(config_path=str(CONF), config_name="config")(body)()


@contextmanager
def _in_one_line() -> Iterator[None]:
    """Let whatever a user can mend, or has stopped, end with one line."""
    try:
        yield
    except MembersFailedError as error:
        stop(failures_line(error))
    except BrokenExecutor as error:
        stop(f"a process broke off ({one_line(error)}); the same command goes on with what is not finished")
    except (HydraException, OmegaConfBaseException) as error:
        stop(one_line(error))
    except ValueError as error:
        if "No trials are completed" not in str(error):  # what Optuna says to its sweeper where every trial failed
            raise
        stop("no trial of the search finished; the lines above say why")
    except KeyboardInterrupt:
        stop("stopped; run the same command again to go on from the last finished step", code=130)


def _configure(composed: DictConfig) -> Config:
    config = to_config(composed)
    set_up(config)
    return config


def stop(message: str, code: int = 2) -> None:
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(code)


def one_line(error: BaseException) -> str:
    """Return what an error and its causes say, on one line."""
    texts = []
    cause: BaseException | None = error
    while cause is not None:
        texts.append(" ".join(str(cause).split()))
        cause = cause.__cause__
    return ": ".join(dict.fromkeys(texts))


def to_config(composed: DictConfig) -> Config:
    """Turn what Hydra composed into plain records, once; below here nothing knows OmegaConf."""
    try:
        config = OmegaConf.to_object(composed)
    except OmegaConfBaseException as error:
        raise InputError(one_line(error)) from None
    assert isinstance(config, Config)
    check_offers(config)
    return config


def check_offers(config: Config) -> None:
    """Refuse a catalog with a mistake before any work is done, naming its file."""
    chosen = HydraConfig.get().runtime.choices.get("offers") if HydraConfig.initialized() else None
    try:
        Catalog.from_dict(config.offers)
    except InputError as error:
        raise InputError(f"{f'offers/{chosen}.yaml' if chosen else 'offers'}: {error}") from None


def set_up(config: Config) -> None:
    """Fix threads, of torch and of the linear algebra below numpy, and silence what third parties print per process."""
    torch.set_num_threads(config.threads)
    threadpool_limits(limits=config.threads)
    keep_freed_memory()
    logging.getLogger("matplotlib").setLevel(logging.WARNING)


def run_folder(config: Config) -> Path:
    return Path(config.runs) / config.name


def of_budget(config: Config, name: str) -> Path:
    """Return what a run calls so: beside the others, with a suffix, where its budget has a name."""
    suffix = f"-{config.budget.name}" if config.budget.name else ""
    whole = Path(name)
    return run_folder(config) / f"{whole.stem}{suffix}{whole.suffix}"


def choose_device(config: Config) -> torch.device:
    """Return the device that markets and networks live on: a GPU where torch sees one."""
    if config.device is Device.CUDA and not torch.cuda.is_available():
        raise InputError("device is cuda, but torch sees no GPU; use device=auto or device=cpu")
    wanted = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(wanted if config.device is Device.AUTO else config.device.value)
