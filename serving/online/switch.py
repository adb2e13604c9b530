"""The kill switch: while it is pulled, everybody gets "no offer".

It is pulled while the file `KILLED` lies in the state folder, or while the environment says so; both outlive a restart.
Pulling it must always work, so it needs neither space on the disk nor the audit log: a spare file is renamed.
"""

import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from campaigns.errors import InputError
from serving.durable import sync

FILE: Final = "KILLED"
VARIABLE: Final = "OFFERSMITH_KILL"
AUDIT: Final = "switch.jsonl"
_SPARE: Final = ".spare-switch"
_OFF: Final = ("", "0", "false", "no", "off")


class Switch:
    """Tells whether the switch is pulled, as of the last look."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        """Look at a state folder, made if it is not there.

        Args:
            folder: Where the file lies.
            environment: Read once: it cannot change while the process runs.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.by_environment = environment.get(VARIABLE, "").strip().lower() not in _OFF
        self._pulled = False
        self._prepare()
        self.look()

    @property
    def killed(self) -> bool:
        return self._pulled or self.by_environment

    def look(self) -> bool:
        """Look at the file again; a folder that cannot be read counts as pulled."""
        try:
            os.stat(self._folder / FILE)
            self._pulled = True
        except FileNotFoundError:
            self._pulled = not self._folder.is_dir()
        except OSError:
            self._pulled = True
        return self.killed

    def pull(self, who: str, reason: str) -> bool:
        """Pull the switch.

        Returns:
            Whether it will stay pulled over a restart; if not, put the file there by hand.
        """
        self._pulled = True
        lasting = self._make_file()
        with suppress(OSError):  # pulling it does not wait for the log
            self._record(who, True, reason)
        return lasting

    def release(self, who: str, reason: str) -> None:
        """Let decisions be made again, once it is written down who wanted it and why.

        Raises:
            InputError: No reason is given, or the environment holds the switch.
            OSError: It cannot be written down, or the file cannot be removed: the switch stays pulled.
        """
        if not reason.strip():
            raise InputError("the kill switch is released with a reason; say why it is safe again")
        if self.by_environment:
            raise InputError(f"the kill switch is pulled by the environment; unset {VARIABLE} and start again")
        self._record(who, False, reason)
        (self._folder / FILE).unlink(missing_ok=True)
        sync(self._folder)
        self._prepare()
        self.look()

    def _prepare(self) -> None:
        with suppress(OSError):  # pulling it then makes a new file
            (self._folder / _SPARE).touch()

    def _make_file(self) -> bool:
        try:
            try:
                (self._folder / _SPARE).rename(self._folder / FILE)
            except FileNotFoundError:
                (self._folder / FILE).touch()
            sync(self._folder)
        except OSError:
            return False
        return True

    def _record(self, who: str, killed: bool, reason: str) -> None:
        """Append a line, durable before it returns."""
        line = json.dumps({"time": time.time(), "who": who, "killed": killed, "reason": reason}) + "\n"
        with (self._folder / AUDIT).open("a", encoding="utf-8") as stream:
            stream.write(line)
            stream.flush()
            os.fsync(stream.fileno())
