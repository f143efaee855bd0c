"""The dashboard's addresses: the page, its facts as JSON, and what is new as an event stream."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from jinja2 import Environment, FileSystemLoader
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from afina import __version__
from afina.dashboard.actions import act
from afina.dashboard.guard import LARGEST_BODY, Guard, Rights
from afina.dashboard.searches import Searches
from afina.errors import AfinaError
from afina.page import BROWSER
from afina.page.detail import detail_of
from afina.page.watch import Watch, to_json
from afina.report.about import about, facts_of_watch, rules_of
from afina.trials.records import as_csv, record_of

PAUSE = 1.0
"""Seconds between two looks for an open page."""

ALIVE = 15.0
"""Seconds after which a silent stream shows that it lives."""

MOST_CURVES = 60
"""Curves in one answer."""

_ACTIONS_OFF = "Actions are switched off. Start the dashboard with --allow-actions."


def create_app(
    searches: Searches, rights: Rights, is_over: Callable[[], bool] = lambda: False
) -> Starlette:
    """The application of a dashboard.

    Args:
        searches: What to show.
        rights: What is allowed.
        is_over: Whether the server is ending: then the open streams end too.
    """
    pages = _Pages(searches, rights, is_over)
    return Starlette(
        routes=[
            Route("/", pages.page),
            Route("/api/state", pages.state),
            Route("/api/events", pages.events),
            Route("/api/trial/{number:int}", pages.trial),
            Route("/api/curves", pages.curves),
            Route("/api/advice", pages.advice),
            Route("/api/about", pages.about),
            Route("/api/trials.csv", pages.table),
            Route("/api/actions", pages.actions, methods=["POST"]),
            Mount("/static", StaticFiles(directory=BROWSER)),
        ],
        middleware=[
            Middleware(Guard, rights=rights),
            Middleware(GZipMiddleware, minimum_size=2000, compresslevel=3),
        ],
    )


def _json(value: Any, status: int = 200) -> Response:
    body = value if isinstance(value, bytes) else to_json(value)
    return Response(body, status, media_type="application/json")


class _Pages:
    def __init__(self, searches: Searches, rights: Rights, is_over: Callable[[], bool]) -> None:
        self.is_over = is_over
        self.searches = searches
        self.rights = rights
        templates = Environment(loader=FileSystemLoader(BROWSER), autoescape=True)
        self.shell = templates.get_template("index.html")

    def _watch(self, request: Request, *, at_once: bool = False) -> Watch | None:
        watch = self.searches.watch(request.query_params.get("search"))
        if watch is not None:
            watch.refresh(at_once=at_once)
        return watch

    async def _answer(
        self, request: Request, work: Callable[[Watch], Response], *, at_once: bool = False
    ) -> Response:
        """Works in a thread, as a store may take its time."""

        def whole() -> Response:
            try:
                watch = self._watch(request, at_once=at_once)
                if watch is None:
                    return _json({"error": "There is no such search."}, 404)
                return work(watch)
            except AfinaError as error:
                return _json({"error": str(error)}, 400)

        return await run_in_threadpool(whole)

    async def page(self, request: Request) -> Response:
        """The page itself: the same for every search, without any of its data."""
        del request
        names = await run_in_threadpool(self.searches.names)
        shell = self.shell.render(
            version=__version__, actions=self.rights.actions, searches=json.dumps(names)
        )
        return HTMLResponse(shell)

    async def state(self, request: Request) -> Response:
        """Everything that the page begins with."""
        return await self._answer(request, lambda watch: _json(watch.whole()))

    async def trial(self, request: Request) -> Response:
        """All that is known of one trial."""

        def work(watch: Watch) -> Response:
            found = detail_of(watch, request.path_params["number"])
            return _json(found or {"error": "There is no such trial."}, 200 if found else 404)

        return await self._answer(request, work)

    async def curves(self, request: Request) -> Response:
        """Learning curves of some trials."""
        given = request.query_params.get("trials", "").split(",")
        numbers = [int(each) for each in given if each.isdecimal() and len(each) < 10]
        metric = request.query_params.get("metric") or None
        return await self._answer(
            request, lambda watch: _json(watch.curves(numbers[:MOST_CURVES], metric))
        )

    async def advice(self, request: Request) -> Response:
        """Importance and advice."""

        def work(watch: Watch) -> Response:
            lessons = self.searches.lessons(request.query_params.get("search"))
            assert lessons is not None
            del watch
            return _json(lessons.read())

        return await self._answer(request, work)

    async def about(self, request: Request) -> Response:
        """The search in sentences and tables."""

        def work(watch: Watch) -> Response:
            facts = facts_of_watch(watch)
            return _json(None if facts is None else about(facts, rules_of(watch)))

        return await self._answer(request, work)

    async def table(self, request: Request) -> Response:
        """All trials as CSV, as `afina export` writes them."""

        def work(watch: Watch) -> Response:
            with watch.lock:
                known = [watch.trials[number] for number in sorted(watch.trials)]
                epochs = dict(watch.epochs)
            records = [
                {**record_of(t), "epochs": max(epochs.get(t.number, 0) - t.start_epoch, 0)}
                for t in known
            ]
            headers = {"Content-Disposition": 'attachment; filename="trials.csv"'}
            return Response(as_csv(records), media_type="text/csv", headers=headers)

        return await self._answer(request, work)

    async def actions(self, request: Request) -> Response:
        """Does what somebody asks for."""
        if not self.rights.actions:
            return _json({"error": _ACTIONS_OFF}, 403)
        if request.headers.get("content-type", "").partition(";")[0] != "application/json":
            return _json({"error": "The request must be JSON."}, 415)
        text = b""
        async for part in request.stream():
            text += part
            if len(text) > LARGEST_BODY:
                return _json({"error": "The request is too long."}, 413)
        try:
            body = json.loads(text)
        except (ValueError, RecursionError):
            return _json({"error": "The request must be JSON."}, 400)
        if not isinstance(body, Mapping):
            return _json({"error": "The request must be a JSON object."}, 400)
        return await self._answer(request, lambda watch: _json({"said": act(watch, body)}))

    async def events(self, request: Request) -> Response:
        """What is new, from now on."""
        watch = await run_in_threadpool(
            functools.partial(self.searches.watch, request.query_params.get("search"))
        )
        if watch is None:
            return _json({"error": "There is no such search."}, 404)
        generation, version = request.query_params.get("generation", ""), 0
        with contextlib.suppress(ValueError):
            version = int(request.query_params.get("version", "0"))
        return StreamingResponse(
            _stream(watch, generation, version, self.is_over), media_type="text/event-stream"
        )


async def _stream(
    watch: Watch, generation: str, version: int, is_over: Callable[[], bool]
) -> AsyncIterator[bytes]:
    spoke = time.monotonic()
    yield b"retry: 2000\n\n"
    while not is_over():
        await run_in_threadpool(watch.refresh)
        news = await run_in_threadpool(watch.since, generation, version)
        if news is not None:
            generation, version = watch.generation, watch.version
            yield b"data: " + news + b"\n\n"
            spoke = time.monotonic()
        elif time.monotonic() - spoke > ALIVE:
            yield b": alive\n\n"
            spoke = time.monotonic()
        await asyncio.sleep(PAUSE)
