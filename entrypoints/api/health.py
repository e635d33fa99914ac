"""/ and /health: links to what there is, and the probes of load balancers and monitoring."""

import marshmallow as ma
from flask import Response

from application.operations.readiness import CheckReadiness
from entrypoints.api.body import JsonBlueprint
from entrypoints.api.responses import json_response
from entrypoints.api.schemas import Schema, described


class HomeSchema(Schema):
    message = ma.fields.String(required=True)
    links = ma.fields.Dict(keys=ma.fields.String(), values=ma.fields.String(), required=True)


class LiveSchema(Schema):
    status = ma.fields.String(required=True, validate=ma.validate.Equal("ok"))


class ReadySchema(Schema):
    status = ma.fields.String(required=True, validate=ma.validate.OneOf(["ok", "degraded", "unavailable"]))
    degraded = ma.fields.List(
        ma.fields.String(), required=True, metadata=described("What is down: database, redis, workers")
    )


def health_blueprint(check_readiness: CheckReadiness) -> JsonBlueprint:
    blp = JsonBlueprint("Health", __name__, description="Links, and probes of the service")

    @blp.route("/", methods=["GET"])
    @blp.response(200, HomeSchema)
    def home() -> Response:
        """Links to the documentation and the probes."""
        return json_response(
            {
                "message": "Home Route",
                "links": {
                    "docs": "/docs/",
                    "openapi": "/openapi.json",
                    "problems": "/problems",
                    "live": "/health/live",
                    "ready": "/health/ready",
                },
            }
        )

    @blp.route("/health/live", methods=["GET"])
    @blp.response(200, LiveSchema)
    def live() -> Response:
        """Liveness: the process responds. Nothing else is checked."""
        return json_response({"status": "ok"})

    @blp.route("/health/ready", methods=["GET"])
    @blp.response(200, ReadySchema)
    @blp.alt_response(503, schema=ReadySchema, description="Send requests elsewhere")
    def ready() -> Response:
        """Readiness: whether to send requests here. 200, perhaps `degraded`; 503 without the database."""
        readiness = check_readiness()
        status = "degraded" if readiness.degraded else "ok"
        return json_response(
            {
                "status": status if readiness.ready else "unavailable",
                "degraded": list(readiness.degraded),
            },
            200 if readiness.ready else 503,
        )

    return blp
