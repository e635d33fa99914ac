"""/sandbox: pages of the local payment provider, for development. Never served in production."""

from html import escape

from flask import Flask, Response, abort, request

from application.ports.payment_sandbox import PaymentSandbox, SandboxPage
from entrypoints.api.pages import html_page


def serve_sandbox(app: Flask, sandbox: PaymentSandbox) -> None:
    @app.get("/sandbox/checkout/<page_id>")
    def sandbox_checkout(page_id: str) -> Response:
        return _sandbox_response(sandbox.checkout(page_id))

    @app.get("/sandbox/portal/<page_id>")
    def sandbox_portal(page_id: str) -> Response:
        return _sandbox_response(sandbox.portal(page_id))

    @app.post("/sandbox/<kind>/<page_id>")
    def sandbox_press(kind: str, page_id: str) -> Response:  # noqa: ARG001 - the id tells the kind
        target = sandbox.press(page_id, request.form.get("action", ""))
        if target is None:
            abort(404)
        return Response(status=303, headers={"Location": target})


def _sandbox_response(page: SandboxPage | None) -> Response:
    if page is None:
        abort(404)
    buttons = "".join(
        f'<p><button name="action" value="{escape(button.action)}">{escape(button.label)}</button></p>'
        for button in page.buttons
    )
    return html_page(page.title, page.lines, html=f'<form method="post">{buttons}</form>', translated=False)
