"""Where things are, and the OpenAPI document for people, with all that it needs served here."""

from importlib.metadata import version
from importlib.resources import files

from fastapi import APIRouter
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response

router = APIRouter(include_in_schema=False)

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>saga-orchestrator</title>
<link rel="icon" href="docs/favicon.png">
<link rel="stylesheet" href="docs/swagger-ui.css">
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</html>
"""
_START = """SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  presets: [SwaggerUIBundle.presets.apis],
  deepLinking: true,
  persistAuthorization: false,
  validatorUrl: null,
});
"""
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {"Content-Security-Policy": _POLICY}
_KEPT = {"Cache-Control": "public, max-age=3600"}


@router.get("/")
def where() -> Response:
    """Where things are."""
    return JSONResponse(
        {
            "name": "saga-orchestrator",
            "version": version("saga-orchestrator"),
            "api": "/v1",
            "docs": "/docs",
            "openapi": "/openapi.json",
            "health": "/health",
            "metrics": "/metrics",
            "authentication": "Authorization: Bearer TOKEN; see `saga token create`",
        }
    )


@router.get("/docs")
def docs() -> Response:
    """Swagger UI."""
    return HTMLResponse(_PAGE, headers=_HEADERS)


@router.get("/docs/start.js")
def start() -> Response:
    """No script stands in the page: its policy lets none run."""
    return Response(_START, media_type="text/javascript", headers=_KEPT)


@router.get("/docs/swagger-ui-bundle.js")
def bundle() -> Response:
    """Of an installed package."""
    return _asset("swagger-ui-bundle.js", "text/javascript")


@router.get("/docs/swagger-ui.css")
def styles() -> Response:
    """Of an installed package."""
    return _asset("swagger-ui.css", "text/css")


@router.get("/docs/favicon.png")
def icon() -> Response:
    """Of an installed package."""
    return _asset("favicon.png", "image/png")


def _asset(name: str, media_type: str) -> Response:
    path = str(files("fastapi_offline").joinpath("static", name))
    return FileResponse(path, media_type=media_type, headers=_KEPT)
