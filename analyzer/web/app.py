"""The application: its routes, what they share, and what runs beside them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match

from analyzer.web import api, operating, pages
from analyzer.web.desk import Desk
from analyzer.web.front import Front
from analyzer.web.guard import Guard, Token, access_token, route
from analyzer.web.jobs import Jobs
from analyzer.web.receiving import Receiver
from analyzer.web.refusal import Refusal
from analyzer.web.settings import Settings
from analyzer.web.store import Store


def build(settings: Settings) -> Starlette:
    """Return the application on `settings.data`, which exists and is this process's alone."""
    (settings.data / "uploads").mkdir(mode=0o700, exist_ok=True)
    store = Store(settings.data)
    token = Token(access_token(settings.data), store.tokens)
    jobs = Jobs(store, settings)
    desk = Desk(settings, token, store, jobs, Receiver(store, settings, jobs.noticed))

    @asynccontextmanager
    async def running(_: Starlette) -> AsyncIterator[None]:
        jobs.recover()
        work = asyncio.create_task(jobs.run())
        yield
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work
        store.close()

    app = Starlette(
        routes=[*pages.ROUTES, *api.ROUTES, *operating.ROUTES],
        lifespan=running,
        middleware=[
            Middleware(Front, base=settings.base, proxies=settings.proxies, user_header=settings.user_header),
            Middleware(Guard, token=token, refuse=pages.ask_for_token),
        ],
        exception_handlers={Refusal: _refused, 404: _not_found, 405: _not_found, 500: _broken},
    )
    app.state.desk = desk
    return app


def _refused(request: Request, refusal: Exception) -> Response:
    assert isinstance(refusal, Refusal)
    answer = api.refusal if route(request).startswith("/api/") else pages.refusal
    return answer(request, refusal)


def _not_found(request: Request, problem: Exception) -> Response:
    status = getattr(problem, "status_code", 404)
    sentence = "There is no such page." if status == 404 else f"{request.method} is not possible here."
    answer = _refused(request, Refusal(status, sentence))
    if status == 405:
        # Starlette knows the methods of the first route of that path only.
        fitting = (one for one in request.app.routes if one.matches(request.scope)[0] is not Match.NONE)
        answer.headers["Allow"] = ", ".join(
            sorted({method for one in fitting for method in one.methods or ()})
        )
    return answer


def _broken(request: Request, _: Exception) -> Response:
    return _refused(
        request, Refusal(500, "An error in the server; its log says more. Nothing that arrived is lost.")
    )
