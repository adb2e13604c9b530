"""Answer over HTTP who gets which offer, keep events, and count budget and stock.

python -m experiments.serve serve.new_key=[decide,redeem]
python -m experiments.serve
"""

import os
import sys
from pathlib import Path

from experiments.config import Config
from experiments.main import main
from serving.durable import clearly
from serving.http.address import encode
from serving.online.api_keys import create_key, revoke_key


def run_serve(config: Config) -> None:
    """Make or revoke a key, or serve until it is stopped, in a process that has no torch."""
    given = config.serve
    state = Path(given.state)
    if given.new_key:
        with clearly(state, "serve.state has to be a folder that can be written"):
            token = create_key(state, given.new_key, given.note, given.days or None)
        print(f"serve: wrote the key's hash to {state}; the key itself is shown once:\n{token}")
        return
    if given.revoke:
        revoke_key(state, given.revoke)
        print(f"serve: {given.revoke} opens nothing any more")
        return
    sys.stdout.flush()
    text = encode(given.settings(), given.address())
    command = [sys.executable, "-m", "serving.http", text]
    os.execve(sys.executable, command, {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"})


if __name__ == "__main__":
    main(run_serve)
