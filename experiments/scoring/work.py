"""Doing many parts: in processes here, or as plain tasks on a Ray cluster; what is done already is not done again."""

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from tqdm import tqdm

from campaigns.errors import InputError
from experiments.children import end_with
from experiments.scoring.budgeting import Ends
from experiments.scoring.parts import Note, PartFiles, ask_part, write_part
from experiments.scoring.scorer import Scorer, read_scorer
from experiments.scoring.settings import Engine
from serving.arms import CampaignKey
from simulators.blocks import keep_freed_memory


@dataclass(frozen=True)
class Job:
    """What a worker needs to take up parts: it reads the rest from files, so it may be on any machine that sees them.

    Attributes:
        scorer: Folder of the scorer.
        key: Of the arms.
        threads: Of torch.
    """

    scorer: Path
    key: CampaignKey
    threads: int = 1


def score_parts(job: Job, parts: Sequence[PartFiles], ends: Ends | None, engine: Engine, jobs: int) -> list[Note]:
    """Score parts and return their notes, in their order.

    Args:
        job: What the workers need.
        parts: The files.
        ends: Up to which place of the queue each arm's budget bears offers; None to let the lots fall first.
        engine: Where.
        jobs: Processes, where it is here.

    Raises:
        InputError: A part cannot be scored; those that could are kept.
    """
    do = _on_ray if engine is Engine.RAY else _here
    notes: dict[int, Note] = {}
    failed: list[str] = []
    for index, note in tqdm(
        do(job, parts, ends, jobs), desc="ask" if ends is None else "write", total=len(parts), unit="part", disable=None
    ):
        if isinstance(note, str):
            failed.append(note)
        else:
            notes[index] = note
    if failed:
        failed.sort()
        more = f" ({len(failed)} of {len(parts)} parts failed)" if len(failed) > 1 else ""
        raise InputError(f"{failed[0]}{more}; the others are kept, the same command goes on")
    return [notes[index] for index in range(len(parts))]


def _here(job: Job, parts: Sequence[PartFiles], ends: Ends | None, jobs: int) -> Iterator[tuple[int, Note | str]]:
    if jobs == 1 or len(parts) == 1:
        return ((index, _score(job, files, ends)) for index, files in enumerate(parts))
    return _in_processes(job, parts, ends, jobs)


def _in_processes(
    job: Job, parts: Sequence[PartFiles], ends: Ends | None, jobs: int
) -> Iterator[tuple[int, Note | str]]:
    """Yield notes as parts end, from forked processes: they have all that takes long to load, and end with this one."""
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(jobs, context, initializer=end_with, initargs=(os.getpid(),)) as pool:
        waiting = [pool.submit(_numbered, job, index, files, ends) for index, files in enumerate(parts)]
        for done in as_completed(waiting):
            yield done.result()


def _on_ray(job: Job, parts: Sequence[PartFiles], ends: Ends | None, jobs: int) -> Iterator[tuple[int, Note | str]]:
    """Yield notes as tasks end; a task whose machine died is done again by another."""
    try:
        import ray  # an extra: one machine does not need it
    except ImportError:
        raise InputError("score.engine is ray, but Ray is not installed; pip install 'offersmith[cluster]'") from None
    if not ray.is_initialized():
        checkout = str(Path(__file__).resolve().parents[2])  # at the same place on all machines
        ray.init(log_to_driver=False, include_dashboard=False, runtime_env={"env_vars": {"PYTHONPATH": checkout}})
    task = ray.remote(num_cpus=1, max_retries=-1)(_numbered)
    waiting = [task.remote(job, index, files, ends) for index, files in enumerate(parts)]
    while waiting:
        done, waiting = ray.wait(waiting)
        yield from ray.get(done)


def _numbered(job: Job, index: int, files: PartFiles, ends: Ends | None) -> tuple[int, Note | str]:
    return index, _score(job, files, ends)


def _score(job: Job, files: PartFiles, ends: Ends | None) -> Note | str:
    """Return the note of a part, or what a user has to mend."""
    try:
        scorer = _scorer(job, os.getpid())
        return ask_part(scorer, files) if ends is None else write_part(scorer, files, ends)
    except InputError as error:
        return str(error)


@lru_cache(maxsize=1)
def _scorer(job: Job, process: int) -> Scorer:
    """Read the scorer once in a process."""
    torch.set_num_threads(job.threads)
    keep_freed_memory()
    return read_scorer(job.scorer, job.key)
