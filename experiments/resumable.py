"""Work of many independent parts whose results are kept as lines, so that a study that broke off goes on."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed
from tqdm import tqdm

Row = dict[str, Any]


def go_on(path: Path, jobs: Iterable[Any], work: Callable[[Any], Row], processes: int, unit: str = "shop") -> list[Row]:
    """Do the jobs whose result the file does not hold yet, adding each as a line when it is done.

    Args:
        path: Of the lines.
        jobs: What is to be done, as JSON values.
        work: Does one.
        processes: That work at the same time.
        unit: What a job is called in the progress bar.
    """
    done = [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.is_file() else []
    known = {json.dumps(row["job"]) for row in done}
    todo = [job for job in jobs if json.dumps(job) not in known]
    results = Parallel(n_jobs=processes, return_as="generator_unordered")(delayed(_job)(work, job) for job in todo)
    with path.open("a", encoding="utf-8") as file:
        for row in tqdm(results, desc=path.stem, total=len(todo), unit=unit, disable=None):
            file.write(json.dumps(row) + "\n")
            file.flush()
            done.append(row)
    return done


def _job(work: Callable[[Any], Row], job: Any) -> Row:
    return {"job": job, **work(job)}
