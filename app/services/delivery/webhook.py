"""Webhooks: an alert as a signed POST, as Standard Webhooks has it.

    webhook-id: the key     webhook-timestamp: seconds     webhook-signature: v1,<base64>

The signature is HMAC-SHA256, with the secret behind `whsec_`, over `id.timestamp.body`.
"""

import base64
import hashlib
import hmac
import time
from collections.abc import Mapping
from typing import Final

import httpx

from app.services.delivery.dial import CONNECT_S, cut_off, sentence
from app.services.delivery.message import AlertMessage
from app.services.delivery.outcome import DELIVERED, Outcome
from app.services.destinations import DestinationSecret
from app.version import product_version
from engine.errors import LongwatchError
from engine.media.address import resolve_host

ANSWER_S: Final = 15.0
_GONE: Final = 410
_MOST_WAIT_S: Final = 3600.0


def sign(secret: str, key: str, timestamp: int, body: bytes) -> str:
    """Return the signature of a message.

    Args:
        secret: `whsec_` and base64.
        key: Value of `webhook-id`.
    """
    signed = b".".join((key.encode(), str(timestamp).encode(), body))
    digest = hmac.new(base64.b64decode(secret.removeprefix("whsec_")), signed, hashlib.sha256)
    return f"v1,{base64.b64encode(digest.digest()).decode()}"


def post(secret: DestinationSecret, message: AlertMessage, shown: str) -> Outcome:
    """Post an alert; a redirect is not followed, and no proxy of the environment asked.

    Args:
        shown: The address without its secrets, for messages.
    """
    picture = message.picture
    more = {} if picture is None else {"picture_jpeg_base64": base64.b64encode(picture).decode()}
    body = message.json(**more)
    url = httpx.URL(secret.address)
    headers = _headers(secret, message, body)
    # A literal address of version 6 stands in brackets.
    netloc = url.netloc.decode()
    try:
        address = resolve_host(url.host, shown)
        with (
            httpx.Client(
                timeout=httpx.Timeout(ANSWER_S, connect=CONNECT_S),
                trust_env=False,
                follow_redirects=False,
            ) as client,
            cut_off(client.close) as was_cut,
        ):
            # To the address that was checked, under the name that it was asked by.
            request = client.build_request(
                "POST",
                url.copy_with(host=str(address)),
                content=body,
                headers={**headers, "Host": netloc},
                extensions={"sni_hostname": url.host},
            )
            answer = client.send(request, stream=True)
            status, pause = answer.status_code, answer.headers.get("retry-after")
            answer.close()
    except LongwatchError as error:
        return Outcome(error=sentence(error))
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        return Outcome(error=f"{shown}: {sentence(error.__cause__ or error)}")
    except httpx.HTTPError as error:
        # What was sent may be there.
        is_late = isinstance(error, httpx.TimeoutException) or was_cut.is_set()
        reason = "it does not answer" if is_late else "cut off"
        return Outcome(error=f"{shown}: {reason}", may_have_arrived=True)
    return _outcome(status, pause, shown)


def _headers(secret: DestinationSecret, message: AlertMessage, body: bytes) -> Mapping[str, str]:
    timestamp = int(time.time())
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"Longwatch/{product_version()}",
        "webhook-id": message.key,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(secret.signing, message.key, timestamp, body),
        "Idempotency-Key": message.key,
    }
    if message.is_repeat:
        headers["Longwatch-Redelivery"] = "true"
    return headers


def _outcome(status: int, pause: str | None, shown: str) -> Outcome:
    if 200 <= status < 300:
        return DELIVERED
    if 300 <= status < 400:
        return Outcome(error=f"{shown}: it points elsewhere (status {status})", is_final=True)
    wait_s = None
    if pause is not None and pause.isdecimal():
        wait_s = min(_MOST_WAIT_S, float(pause))
    return Outcome(
        error=f"{shown}: status {status}",
        # Whoever fails may have kept it; whoever refuses has not.
        may_have_arrived=status >= 500,
        is_final=status == _GONE,
        wait_s=wait_s,
    )
