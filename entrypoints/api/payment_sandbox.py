"""/sandbox: the pages of the payment provider that exists on this machine only. Never served in production."""

from html import escape

from flask import Flask, Response, abort, request

from application.ports.payment_sandbox import PaymentSandbox, SandboxPage
from entrypoints.api.billing import page


def serve_sandbox(app: Flask, sandbox: PaymentSandbox) -> None:
    """The checkout and the portal, with buttons to click on."""

    @app.get("/sandbox/checkout/<page_id>")
    def sandbox_checkout(page_id: str) -> Response:
        return _shown(sandbox.checkout(page_id))

    @app.get("/sandbox/portal/<page_id>")
    def sandbox_portal(page_id: str) -> Response:
        return _shown(sandbox.portal(page_id))

    @app.post("/sandbox/<kind>/<page_id>")
    def sandbox_press(kind: str, page_id: str) -> Response:  # noqa: ARG001 - either kind; its id says which
        target = sandbox.press(page_id, request.form.get("action", ""))
        if target is None:
            abort(404)
        return Response(status=303, headers={"Location": target})


def _shown(shown: SandboxPage | None) -> Response:
    if shown is None:
        abort(404)
    buttons = "".join(
        f'<p><button name="action" value="{escape(button.action)}">{escape(button.label)}</button></p>'
        for button in shown.buttons
    )
    return page(shown.title, shown.lines, form=f'<form method="post">{buttons}</form>')
