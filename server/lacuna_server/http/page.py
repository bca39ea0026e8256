"""The playground: a page and its static files. The page requests nothing but this server."""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request as HttpRequest
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

STATIC = Path(__file__).parent / "static"
HEADERS = {
    # The editor component injects inline styles. Scripts are files only.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
DESCRIPTION = """\
Lacuna completes code.

  curl -X POST URL -H 'Content-Type: application/json' -d '{"data": "#print hello world function"}'
  curl URL -d 'data=# this function prints hello world' -X PUT

Open / in a browser for the playground. /openapi.json describes the API, which includes POST /v1/completions, /infill
and /api/generate.
"""


class Files(StaticFiles):
    """The static files of the page, with its security headers."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update(HEADERS)
        return response


async def page(http: HttpRequest) -> Response:
    """The playground for browsers, a description in plain text for other clients."""
    if "text/html" in http.headers.get("accept", ""):
        return FileResponse(STATIC / "index.html", headers={**HEADERS, "Vary": "Accept"})
    return PlainTextResponse(DESCRIPTION.replace("URL", str(http.base_url).rstrip("/")), headers={"Vary": "Accept"})
