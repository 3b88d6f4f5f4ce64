"""Destinations of alerts, and what is on its way to them."""

from typing import Annotated, Literal

from pydantic import Field

from app.schemas.alerts import Name
from app.schemas.common import RequestModel, Schema

DestinationKindName = Literal["webhook", "mqtt", "email", "apprise"]


class CreateDestinationRequest(RequestModel):
    """A place that alerts may be sent to; its address may hold secrets, which are never shown."""

    name: Name
    kind: DestinationKindName
    address: str = Field(
        min_length=3,
        max_length=2000,
        description="`https://host/path`; `mqtt://user:password@host`, or `mqtts://`; "
        "`smtps://user:password@host`, or `smtp://`; or an address of Apprise.",
    )
    to: list[Annotated[str, Field(max_length=320)]] = Field(
        default_factory=list, max_length=50, description="Of mail: who gets it."
    )
    sender: str = Field(default="", max_length=320, description="Of mail: who it is from.")
    topic: str = Field(
        default="longwatch", pattern=r"^[A-Za-z0-9_/-]{1,100}$", description="Of MQTT: its root."
    )
    discovery: str = Field(
        default="homeassistant",
        pattern=r"^[A-Za-z0-9_/-]{0,100}$",
        description="Of MQTT: where Home Assistant looks for devices; empty tells it nothing.",
    )
    pictures: bool = Field(default=True, description="Whether stills are sent too.")
    user: str | None = Field(
        default=None, description="Sends only what this user may see; everything without one."
    )


class DestinationItem(Schema):
    """A destination, without its secrets."""

    name: str
    kind: DestinationKindName
    address: str
    pictures: bool
    user: str | None
    options: dict[str, object]
    created_at: str
    waiting: int
    """Alerts on their way there."""
    dead: int
    """Alerts that were given up."""
    signing_secret: str | None = Field(default=None, exclude_if=lambda value: value is None)
    """Of a webhook, shown once: when it is made."""


class DestinationsResponse(Schema):
    """Every destination, by name."""

    destinations: list[DestinationItem]


class DeliveryItem(Schema):
    """An alert on its way to one destination."""

    delivery_id: int
    alert_id: int
    destination: str
    key: str
    """The same for all attempts: by it a receiver recognises what it has already."""
    state: Literal["queued", "sending", "delivered", "dead"]
    attempts: int
    may_repeat: bool
    """Whether the receiver may have had it from an earlier attempt; what is sent says so."""
    next_at: str | None
    error: str | None
    created_at: str
    ended_at: str | None


class DeliveriesResponse(Schema):
    """Deliveries, the latest first."""

    deliveries: list[DeliveryItem]
