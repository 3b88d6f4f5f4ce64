"""Alerts, the rules that raise them, and where they are sent."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from app.api.audit import audit
from app.api.deps import Ctx, CurrentAdmin, CurrentUser
from app.api.openapi import content
from app.schemas.alerts import (
    AlertItem,
    AlertRuleItem,
    AlertRulesResponse,
    AlertsResponse,
    CreateAlertRuleRequest,
    DecideAlertRequest,
    TryAlertRuleRequest,
    TryAlertRuleResponse,
    UpdateAlertRuleRequest,
)
from app.schemas.common import MessageResponse, RowNumber
from app.schemas.destinations import (
    CreateDestinationRequest,
    DeliveriesResponse,
    DeliveryItem,
    DestinationItem,
    DestinationsResponse,
)
from app.services import alert_rules, alerts, destinations
from app.services.delivery import outbox
from storage.alert_records import DeliveryState

router = APIRouter(prefix="/api/v1", tags=["alerts"])
RuleName = Annotated[str, Path(max_length=120)]
States = Annotated[
    list[str] | None,
    Query(
        max_length=4,
        description="`open`, `acknowledged`, `false_alarm` or `dismissed`; all but the last when "
        "empty.",
    ),
]


@router.get("/alerts", summary="List alerts")
def list_alerts(
    context: Ctx,
    principal: CurrentUser,
    state: States = None,
    rule: Annotated[str | None, Query(max_length=120)] = None,
    video: Annotated[str | None, Query(max_length=128)] = None,
    before: Annotated[RowNumber | None, Query(description="An alert: only earlier ones.")] = None,
    limit: Annotated[int, Query(ge=1, le=alerts.MAX_LISTED)] = 50,
) -> AlertsResponse:
    """Return alerts of videos that the user may see, latest first, with the count of open ones."""
    return alerts.list_alerts(
        context.services,
        principal,
        states=tuple(state or ()),
        rule=rule,
        video=video,
        before=before,
        limit=limit,
    )


@router.get("/alerts/{alert_id}", summary="Get an alert")
def get_alert(context: Ctx, principal: CurrentUser, alert_id: RowNumber) -> AlertItem:
    """Return an alert with its evidence."""
    return alerts.show_alert(context.services, alert_id, principal)


@router.get(
    "/alerts/{alert_id}/picture.jpg",
    summary="Get the picture of an alert",
    response_class=Response,
    responses=content("image/jpeg"),
)
def get_picture(context: Ctx, principal: CurrentUser, alert_id: RowNumber) -> Response:
    """Return the still that was kept with an alert."""
    picture = alerts.alert_picture(context.services, alert_id, principal)
    headers = {"cache-control": "private, max-age=86400"}
    return Response(picture, media_type="image/jpeg", headers=headers)


@router.patch("/alerts/{alert_id}", summary="Answer an alert")
def decide_alert(
    context: Ctx, principal: CurrentUser, alert_id: RowNumber, body: DecideAlertRequest
) -> AlertItem:
    """Acknowledge an alert, or mark it as false; whoever may see it may do so."""
    name = principal.user.name
    item = alerts.decide_alert(context.services, alert_id, body.state, name, principal)
    audit(principal, f"answered ({body.state}) alert", alert_id)
    return item


@router.get("/alert-rules", summary="List alert rules")
def list_rules(context: Ctx, principal: CurrentAdmin) -> AlertRulesResponse:
    """Return every rule with how often it was right."""
    return alert_rules.list_rules(context.services)


@router.post("/alert-rules", summary="Add an alert rule", status_code=201)
def add_rule(context: Ctx, principal: CurrentAdmin, body: CreateAlertRuleRequest) -> AlertRuleItem:
    """Add a rule; it looks at what is seen from now on."""
    item = alert_rules.add_rule(context.services, body)
    audit(principal, "added alert rule", item.name)
    return item


@router.post("/alert-rules/try", summary="Check a condition")
def try_condition(
    context: Ctx, principal: CurrentAdmin, body: TryAlertRuleRequest
) -> TryAlertRuleResponse:
    """Return what a rule would have raised over recorded footage; nothing is raised or sent."""
    return alerts.try_alert_rule(
        context.services,
        body.rule,
        condition=body.condition,
        after=body.after,
        before=body.before,
    )


@router.get("/alert-rules/{name}", summary="Get an alert rule")
def get_rule(context: Ctx, principal: CurrentAdmin, name: RuleName) -> AlertRuleItem:
    """Return one rule."""
    return alert_rules.show_rule(context.services, name)


@router.patch("/alert-rules/{name}", summary="Change an alert rule")
def change_rule(
    context: Ctx, principal: CurrentAdmin, name: RuleName, body: UpdateAlertRuleRequest
) -> AlertRuleItem:
    """Change a rule, or switch it on or off; a condition is given whole."""
    item = alert_rules.change_rule(context.services, name, body)
    audit(principal, "changed alert rule", item.name)
    return item


@router.delete("/alert-rules/{name}", summary="Delete an alert rule")
def remove_rule(context: Ctx, principal: CurrentAdmin, name: RuleName) -> MessageResponse:
    """Delete a rule; what it raised stays listed."""
    message = alert_rules.remove_rule(context.services, name)
    audit(principal, "deleted alert rule", name)
    return message


@router.get("/alert-destinations", summary="List destinations")
def list_destinations(context: Ctx, principal: CurrentAdmin) -> DestinationsResponse:
    """Return every destination without its secrets."""
    return destinations.list_destinations(context.services)


@router.post("/alert-destinations", summary="Add a destination", status_code=201)
def add_destination(
    context: Ctx, principal: CurrentAdmin, body: CreateDestinationRequest
) -> DestinationItem:
    """Add a destination; of a webhook the answer holds, this once, the secret that signs it."""
    item = destinations.add_destination(context.services, body)
    audit(principal, "added destination", item.name)
    return item


@router.post("/alert-destinations/{name}/test", summary="Check a destination")
def try_destination(context: Ctx, principal: CurrentAdmin, name: RuleName) -> MessageResponse:
    """Send a destination a message that says it is a test."""
    return outbox.send_test(context.services, name)


@router.delete("/alert-destinations/{name}", summary="Delete a destination")
def remove_destination(context: Ctx, principal: CurrentAdmin, name: RuleName) -> MessageResponse:
    """Delete a destination with its secret; nothing is sent there any more."""
    message = destinations.remove_destination(context.services, name)
    audit(principal, "deleted destination", name)
    return message


@router.get("/alert-deliveries", summary="List deliveries")
def list_deliveries(
    context: Ctx,
    principal: CurrentAdmin,
    state: Annotated[list[DeliveryState] | None, Query(max_length=4)] = None,
    alert: RowNumber | None = None,
    limit: Annotated[int, Query(ge=1, le=destinations.MAX_LISTED)] = 50,
) -> DeliveriesResponse:
    """Return what is on its way, what has arrived and what was given up, latest first."""
    return destinations.list_deliveries(
        context.services, states=tuple(state or ()), alert=alert, limit=limit
    )


@router.post("/alert-deliveries/{delivery_id}/retry", summary="Retry a delivery")
def retry_delivery(context: Ctx, principal: CurrentAdmin, delivery_id: RowNumber) -> DeliveryItem:
    """Send at once what was given up, or waits for another attempt."""
    return destinations.retry_delivery(context.services, delivery_id)
