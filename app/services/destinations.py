"""Destinations: the only places that anything is sent to, and all of them an administrator's.

Decision: what is kept of an address in the database is what may be shown; the whole of it, with the
secret that webhooks are signed with, lies in a file below `secrets/`, as that of a camera does. A
copy of the database holds none, and no list, log or export has it.
Decision: a destination may stand for a user. It gets what that user may see when an alert is raised
and still may when it is sent; the topics and devices of MQTT are made camera by camera.
"""

import base64
import json
import re
import secrets
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import SplitResult, unquote, urlsplit

from app.schemas.alerts import AlertCondition
from app.schemas.common import MessageResponse
from app.schemas.destinations import (
    CreateDestinationRequest,
    DeliveriesResponse,
    DeliveryItem,
    DestinationItem,
    DestinationsResponse,
)
from app.services.alert_conditions import check_plain_name, read_condition
from app.services.context import ServiceContext
from engine.errors import InputRefusedError, NotFoundError
from engine.media.address import redact
from engine.records import VideoId
from storage.alert_records import (
    AlertId,
    DeliveryId,
    DeliveryRow,
    DeliveryState,
    DestinationId,
    DestinationRow,
)
from storage.files import HomeFolder
from storage.records import UserId

SCHEMES: Final = {
    "webhook": ("http", "https"),
    "mqtt": ("mqtt", "mqtts"),
    "email": ("smtp", "smtps"),
}
MAX_LISTED: Final = 200
_MAILBOX: Final = re.compile(r"[^@\s,;<>\"']{1,64}@[^@\s,;<>\"']{1,255}")
_SECRET_BYTES: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationSecret:
    """The part of a destination that is kept apart; not to be shown, logged or exported."""

    address: str = field(repr=False)
    signing: str = field(default="", repr=False)
    """Of webhooks, as Standard Webhooks writes it."""

    @property
    def parts(self) -> SplitResult:
        """The address, taken apart."""
        return urlsplit(self.address)

    @property
    def sign_in(self) -> tuple[str, str] | None:
        """Name and password; `None` where the address has none."""
        parts = self.parts
        if parts.username is None:
            return None
        return unquote(parts.username), unquote(parts.password or "")


def add_destination(context: ServiceContext, request: CreateDestinationRequest) -> DestinationItem:
    """Add a destination; of a webhook the answer holds, once, the secret that signs it.

    Raises:
        InputRefusedError: An address of another kind, or a name that is taken.
        NotFoundError: No such user.
        UnreachableError: The secret cannot be kept.
    """
    name = check_plain_name(request.name)
    _check_address(request)
    user = None if request.user is None else _user(context, request.user)
    signing = f"whsec_{base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()}"
    secret = DestinationSecret(
        address=request.address.strip(), signing=signing if request.kind == "webhook" else ""
    )
    row = context.catalog.destinations.add(
        name, request.kind, _shown(request), _options(request), user=user
    )
    try:
        kept = json.dumps({"address": secret.address, "signing": secret.signing})
        HomeFolder(context.settings.home).write_secret(_secret_name(row.id), kept)
    except BaseException:
        context.catalog.destinations.remove(name)
        raise
    item = _describe(context, row, ())
    return item.model_copy(update={"signing_secret": secret.signing or None})


def remove_destination(context: ServiceContext, name: str) -> MessageResponse:
    """Delete a destination with its secret, and what waits to be sent there.

    Raises:
        NotFoundError: No such destination.
        InputRefusedError: Rules name it.
    """
    row = context.catalog.destinations.find(name)
    rules = [
        rule.name
        for rule in context.catalog.alert_rules.list()
        if name in read_condition(rule).destinations
    ]
    if rules:
        raise InputRefusedError(
            f"{', '.join(rules)} sends alerts to {name}", hint="take it out of these rules first"
        )
    HomeFolder(context.settings.home).remove_secret(_secret_name(row.id))
    context.catalog.destinations.remove(name)
    return MessageResponse(message=f"{name} is deleted; nothing is sent there any more")


def list_destinations(context: ServiceContext) -> DestinationsResponse:
    """Return every destination by name, without secrets."""
    deliveries = context.catalog.deliveries.list(states=["queued", "sending", "dead"])
    return DestinationsResponse(
        destinations=[
            _describe(context, row, deliveries) for row in context.catalog.destinations.list()
        ]
    )


def list_deliveries(
    context: ServiceContext,
    *,
    states: tuple[DeliveryState, ...] = (),
    alert: int | None = None,
    limit: int = MAX_LISTED,
) -> DeliveriesResponse:
    """Return what is on its way, what has arrived and what was given up, the latest first."""
    names = {row.id: row.name for row in context.catalog.destinations.list()}
    rows = context.catalog.deliveries.list(
        states=states, alert=None if alert is None else AlertId(alert), limit=limit
    )
    return DeliveriesResponse(deliveries=[_describe_delivery(row, names) for row in rows])


def show_delivery(context: ServiceContext, delivery: int) -> DeliveryItem:
    """Return one delivery.

    Raises:
        NotFoundError: No such delivery.
    """
    names = {row.id: row.name for row in context.catalog.destinations.list()}
    return _describe_delivery(context.catalog.deliveries.get(DeliveryId(delivery)), names)


def retry_delivery(context: ServiceContext, delivery: int) -> DeliveryItem:
    """Send at once what was given up, or waits for another attempt.

    Raises:
        NotFoundError: No such delivery.
    """
    names = {row.id: row.name for row in context.catalog.destinations.list()}
    return _describe_delivery(context.catalog.deliveries.retry(DeliveryId(delivery)), names)


def destinations_of(
    context: ServiceContext, condition: AlertCondition, video: VideoId
) -> tuple[DestinationId, ...]:
    """Return where alerts of a video are to be sent, by the rule and by who may see it."""
    if not condition.destinations:
        return ()
    rows = {row.name: row for row in context.catalog.destinations.list()}
    named = (rows[name] for name in condition.destinations if name in rows)
    return tuple(row.id for row in named if may_be_sent(context, row, video))


def may_be_sent(context: ServiceContext, destination: DestinationRow, video: VideoId) -> bool:
    """Return whether a destination may have what is about a video."""
    if destination.user is None:
        return True
    accounts = context.catalog.accounts
    user = next((user for user in accounts.users() if user.id == destination.user), None)
    if user is None:
        return False
    return user.role == "admin" or video in accounts.visible(user.id)


def read_destination(context: ServiceContext, row: DestinationRow) -> DestinationSecret:
    """Return the secret part of a destination.

    Raises:
        NotFoundError: Its file is not there, as where the database alone was copied.
        UnreachableError: It cannot be read.
    """
    kept = HomeFolder(context.settings.home).read_secret(_secret_name(row.id))
    if kept is None:
        raise NotFoundError(
            f"the address of {row.name} is not here", hint="remove the destination and add it again"
        )
    return DestinationSecret(**json.loads(kept))


def _check_address(request: CreateDestinationRequest) -> None:
    address, kind = request.address.strip(), request.kind
    if kind == "apprise":
        if "://" not in address:
            raise InputRefusedError(
                "this is no address of Apprise", hint="such as ntfy://topic or tgram://token/chat"
            )
        return
    hint = f"write it as {SCHEMES[kind][-1]}://host"
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError:
        raise InputRefusedError("this is no address", hint=hint) from None
    if parts.scheme not in SCHEMES[kind] or not parts.hostname or not address.isprintable():
        raise InputRefusedError(f"{redact(address)} is no address of a {kind}", hint=hint)
    if kind == "webhook" and parts.username is not None:
        raise InputRefusedError(
            "the address of a webhook holds no password", hint="check its signature instead"
        )
    if kind == "email":
        _check_mailboxes(request)


def _check_mailboxes(request: CreateDestinationRequest) -> None:
    if not request.to or not request.sender:
        raise InputRefusedError("mail needs a sender and somebody to send it to")
    for mailbox in (*request.to, request.sender):
        if not _MAILBOX.fullmatch(mailbox):
            raise InputRefusedError(f"{mailbox!r} is no mailbox", hint="write name@host")


def _shown(request: CreateDestinationRequest) -> str:
    """Return an address without what may be secret in it: of a webhook's path nothing is known."""
    address = request.address.strip()
    if request.kind == "apprise":
        # Services put their tokens where others put the host.
        return f"{address.partition('://')[0]}://***"
    parts = urlsplit(address)
    port = "" if parts.port is None else f":{parts.port}"
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    rest = "/***" if parts.path.strip("/") or parts.query else ""
    return f"{parts.scheme}://{host}{port}{rest}"


def _options(request: CreateDestinationRequest) -> dict[str, Any]:
    options: dict[str, Any] = {"pictures": request.pictures}
    if request.kind == "email":
        options |= {"to": [*request.to], "sender": request.sender}
    if request.kind == "mqtt":
        options |= {"topic": request.topic.strip("/"), "discovery": request.discovery.strip("/")}
    return options


def _user(context: ServiceContext, name: str) -> UserId:
    user = context.catalog.accounts.user(name)
    if user is None:
        raise NotFoundError(f"no user {name!r}", hint="`longwatch user list` names them")
    return user.id


def _describe(
    context: ServiceContext, row: DestinationRow, deliveries: tuple[DeliveryRow, ...]
) -> DestinationItem:
    states = [delivery.state for delivery in deliveries if delivery.destination == row.id]
    users = {user.id: user.name for user in context.catalog.accounts.users()}
    return DestinationItem(
        name=row.name,
        kind=row.kind,
        address=row.address,
        pictures=bool(row.options.get("pictures", True)),
        user=None if row.user is None else users.get(row.user),
        options={key: value for key, value in row.options.items() if key != "pictures"},
        created_at=row.created_at.isoformat(),
        waiting=sum(state != "dead" for state in states),
        dead=states.count("dead"),
    )


def _describe_delivery(row: DeliveryRow, names: dict[DestinationId, str]) -> DeliveryItem:
    return DeliveryItem(
        delivery_id=row.id,
        alert_id=row.alert,
        destination=names.get(row.destination, ""),
        key=row.key,
        state=row.state,
        attempts=row.attempts,
        may_repeat=row.is_repeat,
        next_at=row.run_at.isoformat() if row.state == "queued" else None,
        error=row.error,
        created_at=row.created_at.isoformat(),
        ended_at=None if row.ended_at is None else row.ended_at.isoformat(),
    )


def _secret_name(destination: DestinationId) -> str:
    return f"destination-{destination}"
