"""Mail over SMTP: a sentence, and the picture beside it."""

import smtplib
import socket
import ssl
from contextlib import suppress
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any, Final

from app.services.delivery.dial import CONNECT_S, cut_off, dial, secured, sentence
from app.services.delivery.message import AlertMessage
from app.services.delivery.outcome import DELIVERED, Outcome
from app.services.destinations import DestinationSecret
from engine.errors import LongwatchError
from storage.records import Json

PORTS: Final = {"smtp": 587, "smtps": 465}
ANSWER_S: Final = 30.0


class _Wire:
    """The connection of an attempt, from before its greeting."""

    handle: socket.socket | None = None

    def end(self) -> None:
        """Have whoever waits for it hear that nothing more comes."""
        if self.handle is not None:
            with suppress(OSError):
                self.handle.shutdown(socket.SHUT_RDWR)


class _CheckedSmtp(smtplib.SMTP):
    """A client that connects to an address that was checked."""

    def __init__(self, host: str, port: int, wire: "_Wire", shown: str, *, in_tls: bool) -> None:
        self._shown, self._in_tls, self._wire = shown, in_tls, wire
        super().__init__(host, port, timeout=CONNECT_S)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        plain = dial(host, port, self._shown, timeout_s=timeout)
        plain.settimeout(ANSWER_S)
        # TLS takes the socket over; another handle of it ends both.
        self._wire.handle = plain.dup()
        return secured(plain, host) if self._in_tls else plain


def send_mail(
    secret: DestinationSecret, message: AlertMessage, options: Json, shown: str
) -> Outcome:
    """Send an alert as mail; a password never goes over a plain connection to another machine."""
    parts = secret.parts
    host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
    mail = _mail(message, options)
    is_sent, wire = False, _Wire()
    in_tls = parts.scheme == "smtps"
    try:
        with (
            cut_off(wire.end) as was_cut,
            _CheckedSmtp(host, port, wire, shown, in_tls=in_tls) as server,
        ):
            if parts.scheme == "smtp" and server.has_extn("starttls"):
                server.starttls(context=ssl.create_default_context())
            if secret.sign_in is not None:
                if not (isinstance(server.sock, ssl.SSLSocket) or _is_here(server)):
                    return Outcome(
                        error=f"{shown}: it offers no TLS, and a password is not sent without",
                        is_final=True,
                    )
                server.login(*secret.sign_in)
            is_sent = True
            refused = server.send_message(mail)
    except smtplib.SMTPAuthenticationError:
        return Outcome(error=f"{shown}: it does not take this name and password")
    except smtplib.SMTPRecipientsRefused:
        return Outcome(error=f"{shown}: it takes mail for none of them", is_final=True)
    except smtplib.SMTPResponseException as error:
        # A code that begins with 5 is for good (RFC 5321).
        is_final = 500 <= error.smtp_code < 600
        return Outcome(error=f"{shown}: status {error.smtp_code}", is_final=is_final)
    except (LongwatchError, OSError, smtplib.SMTPException) as error:
        reason = "it does not answer" if was_cut.is_set() else sentence(error)
        return Outcome(
            error=reason if isinstance(error, LongwatchError) else f"{shown}: {reason}",
            may_have_arrived=is_sent,
        )
    finally:
        if wire.handle is not None:
            wire.handle.close()
    if refused:
        # The others have it: to send it again would be to send it twice.
        return Outcome(error=f"{shown}: it did not take {', '.join(refused)}", is_final=True)
    return DELIVERED


def _mail(message: AlertMessage, options: Json) -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"] = options["sender"], ", ".join(options["to"])
    mail["Subject"] = message.title
    mail["Date"] = format_datetime(datetime.now(UTC))
    # The same over all attempts: many mail programs show one of two that have it.
    mail["Message-ID"] = f"<{message.key}@longwatch>"
    if message.is_repeat:
        mail["X-Longwatch-Redelivery"] = "true"
    mail.set_content(message.text)
    if message.picture is not None:
        mail.add_attachment(
            message.picture, maintype="image", subtype="jpeg", filename=f"{message.key}.jpg"
        )
    return mail


def _is_here(server: Any) -> bool:
    """Return whether the other end is this machine."""
    return str(server.sock.getpeername()[0]) in {"127.0.0.1", "::1"}
