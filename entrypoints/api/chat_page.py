"""/app: the chat page. Static files for browsers; the page calls the API as any other client does."""

import hashlib
from pathlib import Path

from flask import Flask, Response, abort, redirect, request
from werkzeug.wrappers import Response as WerkzeugResponse

FILES = Path(__file__).resolve().parent.parent / "chat_page"
INDEX = "index.html"
# In the index: the folder of all other files. It is named after their content, so a file never changes.
ASSETS = b"__ASSETS__"
FOR_EVER = "public, max-age=31536000, immutable"

MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

# Nothing but the page's own files and API; no inline script or style, no eval, and no HTML out of strings at all.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
    "Cache-Control": "no-cache",
}


def serve_chat_page(app: Flask) -> None:
    files = {
        path.relative_to(FILES).as_posix(): path.read_bytes()
        for path in sorted(FILES.rglob("*"))
        if path.suffix in MEDIA_TYPES
    }
    version = _version_of(files)
    index = (FILES / INDEX).read_bytes().replace(ASSETS, version.encode())
    etag = hashlib.blake2b(index, digest_size=12).hexdigest()

    @app.get("/app/")
    def chat_page() -> Response | WerkzeugResponse:
        if not request.path.endswith("/"):
            # The page's links are relative, so that it also works below a prefix of a proxy.
            query = request.query_string.decode("ascii", "replace")
            return redirect("app/" + (query and f"?{query}"), 308)
        response = Response(index, headers=HEADERS, content_type="text/html; charset=utf-8")
        response.set_etag(etag)
        return response.make_conditional(request)

    @app.get("/app/<asked_version>/<path:name>")
    def chat_page_file(asked_version: str, name: str) -> Response:
        if asked_version != version or name not in files:
            abort(404)
        media_type = MEDIA_TYPES[Path(name).suffix]
        return Response(files[name], content_type=f"{media_type}; charset=utf-8", headers={"Cache-Control": FOR_EVER})


def _version_of(files: dict[str, bytes]) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for name, content in files.items():
        digest.update(b"%s %d " % (name.encode(), len(content)))
        digest.update(content)
    return digest.hexdigest()
