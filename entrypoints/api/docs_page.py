"""/docs: a page to read and try the API on. It shows RapiDoc (MIT), from npm: `make vendor`."""

import gzip
from functools import cache
from pathlib import Path

from flask import Flask, Response, request

FOLDER = Path(__file__).with_name("rapidoc")
# RapiDoc writes style attributes; scripts come from here alone, and requests go nowhere else.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
CACHED = {"Cache-Control": "max-age=3600"}


def serve_docs_page(app: Flask) -> None:
    page = (FOLDER / "index.html").read_bytes()
    script = (FOLDER / "page.js").read_bytes()
    styles = (FOLDER / "page.css").read_bytes()
    rapidoc = (FOLDER / "rapidoc-min.js.gz").read_bytes()

    @cache
    def unpacked() -> bytes:
        """For the few clients that take no gzip: 0.9 MB, which take 4 ms to unpack."""
        return gzip.decompress(rapidoc)

    @app.get("/docs/")
    def docs() -> Response:
        return Response(page, content_type="text/html; charset=utf-8", headers={"Content-Security-Policy": POLICY})

    @app.get("/docs/page.js")
    def docs_script() -> Response:
        return Response(script, content_type="text/javascript; charset=utf-8", headers=CACHED)

    @app.get("/docs/page.css")
    def docs_styles() -> Response:
        return Response(styles, content_type="text/css; charset=utf-8", headers=CACHED)

    @app.get("/docs/rapidoc.js")
    def docs_rapidoc() -> Response:
        headers = {**CACHED, "Vary": "Accept-Encoding"}
        if request.accept_encodings["gzip"]:
            return Response(
                rapidoc, content_type="text/javascript; charset=utf-8", headers={**headers, "Content-Encoding": "gzip"}
            )
        return Response(unpacked(), content_type="text/javascript; charset=utf-8", headers=headers)
