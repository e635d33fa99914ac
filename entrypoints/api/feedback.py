"""/message/{id}/feedback: what users think of replies."""

from uuid import UUID

import marshmallow as ma
from flask import Response

from application.use_cases import Chat
from domain.accounts import Principal
from domain.chat import MessageId
from domain.feedback import COMMENT_MAX_LENGTH, Feedback, FeedbackReason, Rating
from entrypoints.api.authentication import Authenticated
from entrypoints.api.body import Body, JsonBlueprint
from entrypoints.api.responses import json_response
from entrypoints.api.schemas import Schema, described


class NewFeedbackSchema(Schema):
    rating = ma.fields.Enum(Rating, by_value=True, required=True)
    reasons = ma.fields.List(
        ma.fields.Enum(FeedbackReason, by_value=True),
        load_default=list,
        validate=ma.validate.Length(max=len(FeedbackReason)),
        metadata=described("Why; each counts once"),
    )
    comment = ma.fields.String(
        allow_none=True,
        load_default=None,
        validate=ma.validate.Length(1, COMMENT_MAX_LENGTH),
        metadata=described("In your own words. The operator of the service can read it"),
    )


class FeedbackSchema(Schema):
    rating = ma.fields.Enum(Rating, by_value=True, required=True)
    reasons = ma.fields.List(ma.fields.Enum(FeedbackReason, by_value=True), required=True)
    comment = ma.fields.String(required=True, allow_none=True)
    given_at = ma.fields.AwareDateTime(required=True)


def feedback_blueprint(chat: Chat, authenticated: Authenticated) -> JsonBlueprint:
    blp = JsonBlueprint("Feedback", __name__, description="What you think of the model's replies")

    @blp.route("/message/<uuid:entry_id>/feedback", methods=["PUT"])
    @blp.may_give("message_not_found", "reply_not_ratable")
    @authenticated
    @blp.arguments(NewFeedbackSchema())
    @blp.response(200, FeedbackSchema)
    def give_feedback(principal: Principal, body: Body, entry_id: UUID) -> Response:
        """Say what you think of a reply, in place of what you said before.

        A reply that is finished and has text can be rated: one that is `done`, or that was stopped and kept what there
        was; 409 `reply_not_ratable` otherwise. There is one feedback for each reply, and it counts against no limit. It
        stands with the reply wherever that is read, and goes with it.
        """
        feedback = chat.give_feedback(
            user_id=principal.user_id,
            entry_id=MessageId(entry_id),
            rating=body["rating"],
            reasons=body["reasons"],
            comment=body["comment"],
        )
        return json_response(feedback_json(feedback))

    @blp.route("/message/<uuid:entry_id>/feedback", methods=["DELETE"])
    @blp.may_give("message_not_found")
    @authenticated
    @blp.response(204)
    def withdraw_feedback(principal: Principal, entry_id: UUID) -> Response:
        """Take back what you said of a reply.

        Also 204 where there is nothing to take back.
        """
        chat.withdraw_feedback(user_id=principal.user_id, entry_id=MessageId(entry_id))
        return Response(status=204)

    return blp


def feedback_json(feedback: Feedback) -> Body:
    """Feedback as FeedbackSchema describes it."""
    return {
        "rating": feedback.rating.value,
        "reasons": [reason.value for reason in feedback.reasons],
        "comment": feedback.comment,
        "givenAt": feedback.given_at,
    }
