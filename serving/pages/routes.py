"""The campaign page's addresses, and what answers them."""

import gzip
import hashlib
import mimetypes
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from starlette.concurrency import iterate_in_threadpool, run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from campaigns.errors import InputError
from serving.http.guard import retry_after
from serving.online.rates import Rates
from serving.online.service import Service
from serving.pages.acting import Acting
from serving.pages.archive import Archive
from serving.pages.budget import ROWS, budgets, csv_of, curve, rows_of, step_of
from serving.pages.explained import explained
from serving.pages.files import Files
from serving.pages.language import LANGUAGES
from serving.pages.overview import labels_of, overview
from serving.pages.person import LISTED, Desk
from serving.pages.phrases import SHARES, say_feature
from serving.pages.sessions import COOKIE, SECONDS, Sessions
from serving.pages.visit import HEADERS, ROOT, Entrance, Visit, leave, next_of, set_cookie
from serving.release import Release

ASSETS: Final = Path(__file__).parent / "assets"
MOST_TEXT: Final = 128
"""Characters of a customer's id."""
FAR: Final = 100_000
"""Pages of a table that one may turn to."""


class Pages:
    """The pages of one service."""

    def __init__(self, service: Service, failures: Rates) -> None:
        """Open.

        Args:
            service: What is shown.
            failures: How often somebody may come with a wrong key.
        """
        self._service, self._failures = service, failures
        self._archive = Archive(service.settings)
        self._desk, self._files = Desk(service), Files()
        self._assets = {path.name: _packed(path) for path in ASSETS.iterdir() if path.is_file()}
        self._entrance = Entrance(Sessions(service.keys, service.clock.now), self._common)
        self._acting = Acting(self._entrance, self._archive)

    def routes(self) -> list[Route]:
        """Return the routes."""
        route, acting = self._entrance.route, self._acting
        return [
            Route("/", _to_campaign),
            Route(ROOT, route(self._overview)),
            Route(f"{ROOT}/login", route(self._login, "nothing"), methods=["GET", "POST"]),
            Route(f"{ROOT}/logout", route(self._logout, "nothing"), methods=["POST"]),
            Route(f"{ROOT}/customers", route(self._customers)),
            Route(f"{ROOT}/budget", route(self._budget)),
            Route(f"{ROOT}/budget/{{step}}.csv", route(self._budget_csv)),
            Route(f"{ROOT}/versions", route(acting.versions)),
            Route(f"{ROOT}/compare", route(acting.compare)),
            Route(f"{ROOT}/acts/propose", route(acting.propose, "act"), methods=["POST"]),
            Route(f"{ROOT}/acts", route(acting.accept, "act"), methods=["POST"]),
            Route(f"{ROOT}/files", route(self._listed)),
            Route(f"{ROOT}/files/{{name}}", route(self._file)),
            Route(f"{ROOT}/assets/{{mark}}/{{name}}", self._asset),
            Route(f"{ROOT}/{{rest:path}}", route(_missing, "nothing")),
        ]

    def _common(self) -> Mapping[str, Any]:
        service = self._service
        release = service.release
        return {
            "state": service.state,
            "trouble": service.problem,
            "version": None if release is None else release.version,
            "campaign": "" if release is None else str(release.manifest["arms"]["campaign"]),
            "not_after": "" if release is None else str(release.manifest["not_after"]),
            "languages": LANGUAGES,
            "signed": service.settings.store is not None,
            "asset": lambda name: f"{ROOT}/assets/{self._assets[name][0]}/{name}",
        }

    async def _login(self, visit: Visit) -> Response:
        leads = next_of(visit.form.get("next", "") or visit.asked("next"))
        if visit.request.method == "GET":
            return await self._entrance.page(visit, "login", leads=leads, wrong=False)
        cookie = self._entrance.sessions.begin(visit.form.get("key", "").strip())
        if cookie is None:
            client = visit.request.client
            wait = self._failures.wait(client.host if client else "")
            if wait:
                raise HTTPException(429, headers=retry_after(wait))
            return await self._entrance.page(visit, "login", 403, leads=leads, wrong=True)
        response = leave(visit, leads)
        set_cookie(visit.request, response, COOKIE, cookie, int(SECONDS))
        return response

    async def _logout(self, visit: Visit) -> Response:
        self._entrance.sessions.end(visit.request.cookies.get(COOKIE, ""))
        response = leave(visit, f"{ROOT}/login")
        response.delete_cookie(COOKIE, path=ROOT)
        return response

    async def _overview(self, visit: Visit) -> Response:
        release = self._service.release
        if release is None:
            return await self._entrance.page(visit, "overview", found=None, waiting=())
        standing, waiting = await self._archive.glance()
        found = overview(release, standing, tuple(self._service.ledger.left), visit.words)
        return await self._entrance.page(visit, "overview", found=found, waiting=waiting)

    async def _customers(self, visit: Visit) -> Response:
        asked = visit.asked("q").strip()[:MOST_TEXT]
        person = decision = ruled = None
        wrong, listed = "", tuple[str, ...]()
        if asked:
            person, decision = self._desk.find(asked, visit.words)
            listed = tuple(name for name in self._desk.beginning(asked) if name != asked)
        features = [(name, _asked_for(name, visit), visit.asked(f"f.{name}")) for name in self._desk.features()]
        given = {name: text for name, _, text in features if text.strip()}
        if given and person is None:
            try:
                ruled = self._desk.by_rule({name: float(text) for name, text in given.items()}, visit.words)
            except ValueError:  # as an InputError is
                wrong = visit.words("customers.features_wrong")
        more, why = len(listed) > LISTED, None
        if person is not None:
            why = await run_in_threadpool(
                explained, self._service.release, person, asked, self._files.verified, visit.words
            )
        return await self._entrance.page(
            visit, "customers", asked=asked, person=person, decision=decision, listed=listed[:LISTED], more=more,
            features=features, ruled=ruled, wrong=wrong, explained=why,
        )  # fmt: skip

    async def _budget(self, visit: Visit) -> Response:
        release = self._service.release
        if release is None:
            return await self._entrance.page(visit, "budget", found=None)
        found = budgets(release.manifest, step_of(visit.asked("step"), release.manifest))
        page = int(text) if (text := visit.asked("page")).isdecimal() and len(text) < 7 else 0
        rows: Any = ()
        if found.several:
            rows = await run_in_threadpool(lambda: rows_of(self._by_budget(release), found.chosen.step, min(page, FAR)))
        labels = labels_of(release.manifest["catalog"])
        named = [(customer, labels.get(offer, offer)) for customer, offer in rows[:ROWS]]
        return await self._entrance.page(
            visit, "budget", found=found, curve=curve(found, visit.words), rows=named, page=page,
            more=len(rows) > ROWS, first=page * ROWS + 1,
        )  # fmt: skip

    async def _budget_csv(self, visit: Visit) -> Response:
        release = self._release()
        step = step_of(visit.request.path_params["step"], release.manifest)
        name = f"offersmith-v{release.version:06d}-budget-{step}.csv"
        path = await run_in_threadpool(self._by_budget, release)
        content = iterate_in_threadpool(csv_of(path, step, labels_of(release.manifest["catalog"])))
        headers = {**HEADERS, "Content-Disposition": f'attachment; filename="{name}"'}
        return StreamingResponse(content, headers=headers, media_type="text/csv; charset=utf-8")

    async def _listed(self, visit: Visit) -> Response:
        release = self._service.release
        rows = () if release is None else await run_in_threadpool(self._files.listed, release)
        return await self._entrance.page(visit, "files", rows=rows)

    async def _file(self, visit: Visit) -> Response:
        release, name = self._release(), visit.request.path_params["name"]
        try:
            path = await run_in_threadpool(self._files.verified, release, name)
        except (InputError, OSError) as error:
            raise HTTPException(404, visit.words("files.refused", name=name)) from error
        sent = f"offersmith-v{release.version:06d}-{name}"
        return FileResponse(path, headers=HEADERS, filename=sent, media_type="application/octet-stream")

    async def _asset(self, request: Request) -> Response:
        mark, plain, packed, kind = self._assets.get(request.path_params["name"], ("", b"", b"", ""))
        if mark != request.path_params["mark"]:
            raise HTTPException(404)
        headers = {"Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}
        headers |= {"X-Content-Type-Options": "nosniff"}
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(packed, headers={**headers, "Content-Encoding": "gzip"}, media_type=kind)
        return Response(plain, headers=headers, media_type=kind)

    def _by_budget(self, release: Release) -> Path:
        from serving.by_budget import BY_BUDGET  # which needs pandas: half a second that a look-up need not wait

        return self._files.verified(release, BY_BUDGET)

    def _release(self) -> Release:
        if self._service.release is None:
            raise HTTPException(404)
        return self._service.release


async def _to_campaign(request: Request) -> Response:
    return RedirectResponse(ROOT, 303, HEADERS)


async def _missing(visit: Visit) -> Response:
    raise HTTPException(404)


def _asked_for(feature: str, visit: Visit) -> str:
    name = say_feature(feature, visit.words)
    return visit.words("customers.of_one", name=name) if feature in SHARES else name


def _packed(path: Path) -> tuple[str, bytes, bytes, str]:
    """Return a file's mark, which changes with its bytes, its bytes, the same compressed, and its type."""
    data = path.read_bytes()
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return hashlib.sha256(data).hexdigest()[:12], data, gzip.compress(data, 6, mtime=0), f"{kind}; charset=utf-8"
