"""What needs whole tables, done in a process of its own: comparing versions, and handing in a signed act.

The service's memory and the time of its answers stay what they are, however large the tables. It reads a task as JSON
from standard input and writes `{"done": ...}` or `{"refused": "why"}` to standard output.
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any, Final

from campaigns.errors import InputError

SECONDS: Final = 180.0
"""After which a task is given up."""


async def ask(task: dict[str, Any]) -> Any:
    """Return what a task gives, done in a process of its own.

    Raises:
        InputError: It was refused, or came to no end.
    """
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "serving.pages.office", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        out, _ = await asyncio.wait_for(child.communicate(json.dumps(task).encode()), SECONDS)
        told = json.loads(out)
    except (TimeoutError, ValueError):
        raise InputError("the tables could not be worked on; the service's log says why") from None
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if "refused" in told:
        raise InputError(told["refused"])
    return told["done"]


def do(task: dict[str, Any]) -> dict[str, Any]:
    """Do a task: `accept` an act, or `compare` two versions."""
    from serving.keys import Trusted
    from serving.store import Store

    try:
        store = Store(Path(task["store"]), Trusted.read(Path(task["trusted"])))
        if task["task"] == "accept":
            return {"done": store.accept(task["act"].encode()).version}
        manifests = [store.version(task[side]).manifest for side in ("before", "after")]
        more = {"catalogs": [one["catalog"] for one in manifests], "rules": [one["rules"] for one in manifests]}
        return {"done": {**store.diff(task["before"], task["after"]).to_dict(), **more}}
    except InputError as error:
        return {"refused": str(error)}


if __name__ == "__main__":
    os.nice(5)
    print(json.dumps(do(json.load(sys.stdin))))
