"""MQTT: the last event of a camera on topics of its own, and devices of Home Assistant.

    <root>/<camera>/alert     JSON, retained          <root>/<camera>/picture    JPEG, retained
    <discovery>/sensor/longwatch_<camera>/last_event/config, .../image/.../picture/config

A camera's topics hold nothing of another one, so that a broker can grant them one by one. Every
message has QoS 1: the broker has said that it has it.
"""

import json
import re
import socket
import ssl
from collections.abc import Iterator
from typing import Any, Final

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from app.services.delivery.dial import CONNECT_S, dial, sentence
from app.services.delivery.message import TEST, AlertMessage
from app.services.delivery.outcome import DELIVERED, Outcome
from app.services.destinations import DestinationSecret
from app.version import product_version
from engine.errors import LongwatchError
from storage.records import Json

ANSWER_S: Final = 15.0
PORTS: Final = {"mqtt": 1883, "mqtts": 8883}
_NOT_FOR_TOPICS: Final = re.compile(r"[^A-Za-z0-9_-]")


class _CheckedClient(paho.Client):
    """A client that connects to an address that was checked."""

    shown = ""

    def _create_socket_connection(self) -> socket.socket:
        return dial(self._host, self._port, self.shown)


def publish(secret: DestinationSecret, message: AlertMessage, options: Json, shown: str) -> Outcome:
    """Publish an alert with its picture, behind what tells Home Assistant of its camera."""
    parts = secret.parts
    client = _CheckedClient(CallbackAPIVersion.VERSION2, reconnect_on_failure=False)
    client.shown = shown
    client.connect_timeout = CONNECT_S
    if secret.sign_in is not None:
        client.username_pw_set(*secret.sign_in)
    if parts.scheme == "mqtts":
        client.tls_set_context(ssl.create_default_context())
    refusals: list[str] = []

    def on_connect(*arguments: Any) -> None:
        reason = arguments[3]
        if reason.is_failure:
            refusals.append(str(reason))

    client.on_connect = on_connect
    is_sent = False
    try:
        client.connect(parts.hostname or "", parts.port or PORTS[parts.scheme])
        client.loop_start()
        for topic, payload in _messages(message, options):
            # A test leaves nothing behind: no device of Home Assistant, no last event.
            published = client.publish(topic, payload, qos=1, retain=message.kind != TEST)
            is_sent = is_sent or published.rc == MQTTErrorCode.MQTT_ERR_SUCCESS
            published.wait_for_publish(ANSWER_S)
            if refusals or not published.is_published():
                words = refusals[0] if refusals else "it does not answer"
                return Outcome(error=f"{shown}: {words}", may_have_arrived=not refusals)
    except (LongwatchError, OSError, RuntimeError, ValueError) as error:
        reason = refusals[0] if refusals else sentence(error)
        return Outcome(
            error=reason if isinstance(error, LongwatchError) else f"{shown}: {reason}",
            may_have_arrived=is_sent and not refusals,
        )
    finally:
        client.disconnect()
        client.loop_stop()
    return DELIVERED


def _messages(message: AlertMessage, options: Json) -> Iterator[tuple[str, bytes]]:
    """Yield topics and what is published there: last the alert, which stands for the whole."""
    camera = _NOT_FOR_TOPICS.sub("-", message.source[0])
    root = f"{options.get('topic', 'longwatch')}/{camera}"
    discovery = options.get("discovery", "")
    if discovery and message.kind != TEST:
        yield from _devices(message, str(discovery), camera, root)
    if message.picture is not None:
        yield f"{root}/picture", message.picture
    yield f"{root}/alert", message.json()


def _devices(
    message: AlertMessage, discovery: str, camera: str, root: str
) -> Iterator[tuple[str, bytes]]:
    device = {
        "identifiers": [f"longwatch_{camera}"],
        "name": message.source[1],
        "manufacturer": "Longwatch",
        "sw_version": product_version(),
    }
    shared = {"device": device, "origin": {"name": "Longwatch"}}
    sensor = {
        **shared,
        "name": "Last event",
        "unique_id": f"longwatch_{camera}_last_event",
        "icon": "mdi:cctv",
        "state_topic": f"{root}/alert",
        # A state of Home Assistant has at most 255 characters.
        "value_template": "{{ (value_json.data.rule ~ ': ' ~ value_json.data.reason)[:255] }}",
        "json_attributes_topic": f"{root}/alert",
        "json_attributes_template": "{{ value_json.data | tojson }}",
    }
    yield f"{discovery}/sensor/longwatch_{camera}/last_event/config", json.dumps(sensor).encode()
    if message.picture is not None:
        image = {
            **shared,
            "name": "Last event",
            "unique_id": f"longwatch_{camera}_picture",
            "image_topic": f"{root}/picture",
            "content_type": "image/jpeg",
        }
        yield f"{discovery}/image/longwatch_{camera}/picture/config", json.dumps(image).encode()
