"""One request for a page: who asks, in which language, and what a form sent; and the answer with its headers."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from re import fullmatch
from secrets import compare_digest
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from campaigns.errors import InputError
from serving.pages.language import LANGUAGES, Language, choose
from serving.pages.sessions import COOKIE, Session, Sessions

ROOT: Final = "/campaign"
LANGUAGE: Final = "offersmith_language"
LANGUAGE_SECONDS: Final = 365 * 86_400
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Vary": "Accept-Language, Cookie",
}
_NEXT: Final = r"/campaign(?:[/?][A-Za-z0-9_./?=&%+~-]*)?"
"""Where a login may lead on to."""


@dataclass(frozen=True)
class Visit:
    """A request, with what is known of who sent it.

    Attributes:
        request: As it came.
        words: Their language.
        session: None where nobody is logged in.
        form: What a form sent, by field.
    """

    request: Request
    words: Language
    session: Session | None
    form: Mapping[str, str]

    def asked(self, name: str) -> str:
        """Return a parameter of the address, "" if it is not there."""
        return self.request.query_params.get(name, "")

    def here(self, **changed: str) -> str:
        """Return this address with some parameters changed."""
        return f"{self.request.url.path}?{urlencode({**self.request.query_params, **changed})}"


Handler = Callable[[Visit], Awaitable[Response]]


class Entrance:
    """Lets visits in, and answers them with pages."""

    def __init__(self, sessions: Sessions, values: Callable[[], Mapping[str, Any]]) -> None:
        """Open.

        Args:
            sessions: Who is logged in.
            values: What every page needs to know at the moment.
        """
        self.sessions = sessions
        self._values = values
        self._templates = Environment(
            loader=FileSystemLoader(Path(__file__).parent / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )

    def route(self, handler: Handler, needs: str = "view") -> Callable[[Request], Awaitable[Response]]:
        """Return an endpoint for visits that are admitted.

        Args:
            handler: Answers them.
            needs: "nothing", "view" (a session) or "act" (a session of a key that may act).
        """

        async def endpoint(request: Request) -> Response:
            words = choose(_language(request), request.headers.get("accept-language", ""))
            session = self.sessions.find(request.cookies.get(COOKIE, ""))
            visit = Visit(request, words, session, {})
            try:
                if request.method == "POST":
                    visit = Visit(request, words, session, await _form(request))
                    _check_origin(visit)
                response = await handler(visit) if _admitted(session, needs) else await self._closed(visit)
            except HTTPException as error:
                response = await self.problem(visit, error.status_code, str(error.detail))
                response.headers.update(error.headers or {})
            except InputError as error:
                response = await self.problem(visit, 409, str(error))
            if request.query_params.get("lang") in LANGUAGES:
                set_cookie(request, response, LANGUAGE, words.code, LANGUAGE_SECONDS)
            return response

        return endpoint

    async def page(self, visit: Visit, template: str, status: int = 200, **values: Any) -> Response:
        """Return a page; it is written in another thread, so that no look-up waits for it."""
        words, session = visit.words, visit.session
        given = {**self._values(), "visit": visit, "words": words, "session": session, "root": ROOT, **values}
        text = await run_in_threadpool(lambda: self._templates.get_template(f"{template}.html.j2").render(given))
        return HTMLResponse(text, status, HEADERS)

    async def problem(self, visit: Visit, status: int, detail: str = "") -> Response:
        """Return a page that says what is wrong; `detail` is said as it is, unless it only names the status."""
        key = str(status) if visit.words.has(f"problem.{status}") else "500"
        said = "" if detail == HTTPStatus(status).phrase else detail
        return await self.page(visit, "problem", status, key=key, detail=said)

    async def _closed(self, visit: Visit) -> Response:
        if visit.session is not None:
            return await self.problem(visit, 403)
        path = visit.request.url.path + (f"?{visit.request.url.query}" if visit.request.url.query else "")
        leads = path if visit.request.method == "GET" else ROOT
        return leave(visit, f"{ROOT}/login?{urlencode({'next': leads})}")


def leave(visit: Visit, address: str) -> Response:
    """Return an answer that sends the browser on."""
    if visit.request.headers.get("hx-request"):
        return Response(None, 204, {**HEADERS, "HX-Redirect": address})
    return RedirectResponse(address, 303, HEADERS)


def next_of(text: str) -> str:
    """Return where a login leads on to: a page of these, and nowhere else."""
    return text if fullmatch(_NEXT, text) and ".." not in text else ROOT


def set_cookie(request: Request, response: Response, name: str, value: str, seconds: int) -> None:
    """Set a cookie that only these pages get, and no script."""
    response.set_cookie(
        name, value, max_age=seconds, path=ROOT, httponly=True, samesite="strict", secure=request.url.scheme == "https"
    )


def _admitted(session: Session | None, needs: str) -> bool:
    return needs == "nothing" or (session is not None and (needs == "view" or session.acts))


def _language(request: Request) -> str:
    asked = request.query_params.get("lang", "")
    return asked if asked in LANGUAGES else request.cookies.get(LANGUAGE, "")


async def _form(request: Request) -> dict[str, str]:
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        raise HTTPException(415)
    try:
        return dict(parse_qsl((await request.body()).decode(), keep_blank_values=True, max_num_fields=50))
    except ValueError:
        raise HTTPException(422) from None


def _check_origin(visit: Visit) -> None:
    """Refuse a form that another site sent, or that is not one of this session's."""
    headers = visit.request.headers
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    own = site == "same-origin" if site else bool(origin) and urlsplit(origin).netloc == headers.get("host")
    token = visit.form.get("form", "").encode()
    if not own or (visit.session is not None and not compare_digest(token, visit.session.form.encode())):
        raise HTTPException(403, visit.words("problem.form"))
