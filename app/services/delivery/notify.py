"""Apprise: ntfy, Telegram, Matrix and the rest, where the extra is installed."""

import importlib
import logging
from types import ModuleType
from typing import Any

from app.services.delivery.message import AlertMessage
from app.services.delivery.outcome import DELIVERED, Outcome
from app.services.destinations import DestinationSecret
from engine.errors import LongwatchError, MissingCapabilityError, UnreachableError
from engine.media.address import resolve_host


def require_apprise() -> ModuleType:
    """Return Apprise, silent: its log holds addresses with their tokens.

    Raises:
        MissingCapabilityError: It is not installed.
    """
    try:
        # Late: an extra.
        import apprise
    except ImportError as error:
        raise MissingCapabilityError(
            "Apprise is not installed", hint="pip install 'longwatch[alerts]'"
        ) from error
    logging.getLogger("apprise").disabled = True
    module: ModuleType = apprise
    return module


def notify(secret: DestinationSecret, message: AlertMessage, shown: str) -> Outcome:
    """Send an alert by whatever service an address of Apprise names."""
    try:
        apprise = require_apprise()
        service = apprise.Apprise.instantiate(secret.address, suppress_exceptions=True)
        if service is None:
            return Outcome(error=f"{shown}: Apprise does not know this address", is_final=True)
        _check_host(service, shown)
    except LongwatchError as error:
        return Outcome(error=error.message)
    pictures = None
    if message.picture is not None and service.attachment_support:
        pictures = apprise.AppriseAttachment()
        memory = importlib.import_module("apprise.attachment.memory")
        pictures.add(
            memory.AttachMemory(
                content=message.picture, name=f"{message.key}.jpg", mimetype="image/jpeg"
            )
        )
    is_sent = service.notify(body=message.text, title=message.title, attach=pictures)
    if is_sent:
        return DELIVERED
    # It says no more than that; what is sent again says that it may be a repeat.
    return Outcome(error=f"{shown}: it was not taken", may_have_arrived=True)


def _check_host(service: Any, shown: str) -> None:
    """Refuse a service at an address that nothing is sent to.

    Raises:
        MediaRefusedError: It has such an address.
        UnreachableError: It has none.
    """
    with_host = ["{host}" in template for template in service.templates]
    try:
        if any(with_host):
            resolve_host(service.host, shown)
    except UnreachableError:
        # Of some services an address may name a topic or a token in that place.
        if all(with_host):
            raise
