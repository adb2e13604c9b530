"""Versions compared, approved and gone back to. What is signed is signed in the browser: no private key comes here."""

import json
import shlex
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.responses import Response

from campaigns.errors import InputError
from serving.acts import CONTEXT, Act, Deed
from serving.pages.archive import Archive
from serving.pages.comparison import comparison
from serving.pages.versions import pair
from serving.pages.visit import ROOT, Entrance, Visit, leave

DEEDS: Final = {deed.value: deed for deed in (Deed.APPROVE, Deed.ROLL_BACK)}
MOST_REASON: Final = 500


class Acting:
    """Answers requests for what is done with versions."""

    def __init__(self, entrance: Entrance, archive: Archive) -> None:
        self._entrance, self._archive = entrance, archive

    async def versions(self, visit: Visit) -> Response:
        """Show what the store holds, and forms for what may be done next."""
        return await self._shown(visit)

    async def compare(self, visit: Visit) -> Response:
        """Compare two versions."""
        if not self._archive.kept:
            return await self._entrance.page(visit, "compare", found=None)
        found = await self._archive.versions()
        chosen = _pair(visit.asked("before"), visit.asked("after")) or pair(found)
        plain = None
        if chosen is not None and set(chosen) <= set(found.numbers) and chosen[0] != chosen[1]:
            plain = await self._archive.compare(*chosen)
        result = None if plain is None else comparison(plain, visit.words)
        return await self._entrance.page(visit, "compare", found=found, chosen=chosen, result=result)

    async def propose(self, visit: Visit) -> Response:
        """Show an act to whoever is to sign it."""
        form = visit.form
        deed, number = DEEDS.get(form.get("deed", "")), form.get("version", "")
        if deed is None or not number.isdecimal() or len(number) > 6:
            raise HTTPException(422)
        reason = " ".join(form.get("reason", "").split())[:MOST_REASON]
        try:
            act, public = await self._archive.propose(deed, form.get("by", ""), int(number), reason)
        except InputError as error:
            return await self._shown(visit, 409, str(error))
        text = act.text().decode().rstrip("\n")
        return await self._entrance.page(
            visit,
            "sign",
            act=act,
            text=text,
            public=public,
            context=CONTEXT.rstrip(b"\0").decode(),
            command=command_of(act),
        )

    async def accept(self, visit: Visit) -> Response:
        """Hand in an act with its signature."""
        try:
            act = _act(visit.form.get("act", ""))
            signed = act.sealed(bytes.fromhex(visit.form.get("signature", "")))
        except (ValueError, KeyError, TypeError, RecursionError):
            raise HTTPException(422) from None
        try:
            await self._archive.accept(signed)
        except InputError as error:
            return await self._shown(visit, 409, str(error))
        return leave(visit, f"{ROOT}/versions?done={act.deed.value}&version={act.version}")

    async def _shown(self, visit: Visit, status: int = 200, refused: str = "") -> Response:
        if not self._archive.kept:
            return await self._entrance.page(visit, "versions", status, found=None, refused="", done="")
        try:
            found = await self._archive.versions()
        except InputError as error:
            return await self._entrance.page(
                visit, "versions", status, found=None, refused=refused or str(error), done=""
            )
        done = visit.asked("done") if visit.asked("done") in DEEDS else ""
        return await self._entrance.page(visit, "versions", status, found=found, refused=refused, done=done)


def command_of(act: Act) -> str:
    """Return how the same is done on the command line."""
    terms = {"act": act.deed.value, "version": act.version, "key": act.by}
    given = terms | ({"reason": act.reason} if act.reason else {})
    return shlex.join(
        ["python", "-m", "experiments.publish", *(f"publish.{name}={one}" for name, one in given.items())]
    )


def _act(text: str) -> Act:
    plain: dict[str, Any] = json.loads(text)
    return Act(**{**plain, "deed": DEEDS[plain["deed"]]})


def _pair(before: str, after: str) -> tuple[int, int] | None:
    if not (before.isdecimal() and after.isdecimal() and len(before) < 7 and len(after) < 7):
        return None
    return int(before), int(after)
