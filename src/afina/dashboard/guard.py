"""Who may look at the dashboard, and who may act.

A page of another site, opened in the same browser, can send requests here too. So a request must
name this server as its host (which defeats DNS rebinding), and an action must come from this page.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""What the page may load and run: its own files, and nothing written into the page."""

HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

LARGEST_BODY = 100_000
"""Bytes of a request."""

NO_TOKEN = "This page needs a token. Open the address that `afina dashboard` has printed.\n"


def is_loopback(host: str) -> bool:
    """Whether an address reaches this machine only.

    Example:
        >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
        (True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def new_token() -> str:
    """A token that nobody guesses."""
    return secrets.token_urlsafe(24)


@dataclass(frozen=True, kw_only=True)
class Rights:
    """What a server allows."""

    host: str
    """The address that it listens on."""

    token: str | None
    """What a browser must show; None if everybody on this machine may look."""

    actions: bool = False
    """Whether those who show the token may act."""

    @property
    def cookie(self) -> str:
        """The cookie's name; browsers share cookies among the ports of a host."""
        return "afina-dashboard"

    def knows(self, host: str | None) -> bool:
        """Whether a Host header names this server."""
        if not host:
            return False
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if is_loopback(self.host):
            return is_loopback(name)
        try:  # reached from other machines by any of its addresses, or by its name
            ipaddress.ip_address(name)
        except ValueError:
            return name == self.host or _is_own_name(name)
        return True

    def shows(self, given: str | None) -> bool:
        """Whether this is the token."""
        return self.token is not None and hmac.compare_digest(
            (given or "").encode(), self.token.encode()
        )


def _is_own_name(name: str) -> bool:
    own = {"localhost", socket.gethostname().lower(), socket.getfqdn().lower()}
    return name.lower() in own


class Guard:
    """Checks each request, and adds the headers that protect the page.

    Args:
        app: What is guarded.
        rights: What is allowed.
    """

    def __init__(self, app: ASGIApp, rights: Rights) -> None:
        self.app = app
        self.rights = rights

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers the request, or refuses it."""
        if scope["type"] != "http":
            return
        request = Request(scope)

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                if not request.url.path.startswith("/static/"):
                    headers["Cache-Control"] = "no-store"
            await send(message)

        answer = self._refuse(request) or self._greet(request) or self.app
        await answer(scope, receive, guarded)

    def _refuse(self, request: Request) -> Response | None:
        rights = self.rights
        if not rights.knows(request.headers.get("host")):
            return PlainTextResponse("This is not the host of this dashboard.\n", 421)
        origin = request.headers.get("origin")
        if origin is not None and origin != f"http://{request.headers.get('host')}":
            return PlainTextResponse("Requests of other pages are refused.\n", 403)
        if request.headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            is_page = request.method == "GET" and request.url.path == "/"
            if not is_page:  # a link to the page is welcome
                return PlainTextResponse("Requests of other pages are refused.\n", 403)
        needs = rights.token is not None and not request.url.path.startswith("/static/")
        if needs and not self._is_known(request) and not self._brings(request):
            return PlainTextResponse(NO_TOKEN, 401)
        return None

    def _is_known(self, request: Request) -> bool:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        bearer = scheme.lower() == "bearer" and self.rights.shows(given)
        return bearer or self.rights.shows(request.cookies.get(self.rights.cookie))

    def _brings(self, request: Request) -> bool:
        page = request.method == "GET" and request.url.path == "/"
        return page and self.rights.shows(request.query_params.get("token"))

    def _greet(self, request: Request) -> Response | None:
        """Takes the token out of the address, where histories and screenshots would keep it."""
        if not self._brings(request):
            return None
        response = RedirectResponse("/", 303)
        response.set_cookie(
            self.rights.cookie, self.rights.token or "", httponly=True, samesite="strict", path="/"
        )
        return response
