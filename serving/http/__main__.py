"""The service's own process, started by `python -m experiments.serve` without what training needs."""

import signal
import sys

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until it listens, Ctrl-C just ends it: there is nothing to finish

    from campaigns.errors import InputError
    from serving.http.address import decode
    from serving.http.start import serve

    try:
        serve(*decode(sys.argv[1]))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
