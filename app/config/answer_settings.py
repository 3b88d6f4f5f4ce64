"""Settings of an answerer of one's own: a server that speaks OpenAI's chat completions."""

import ipaddress
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from app.config.section import Section


class AnswerSettings(Section):
    """A server of yours that answers from the moments that are found here. Off without an address.
    Questions, the images beside them, stills and observations of those moments are sent to it."""

    base_url: str | None = Field(default=None, pattern=r"^https?://[^/\s]+(/[^\s]*)?$")
    """Address of an OpenAI-compatible server, such as `http://127.0.0.1:11434/v1` of Ollama."""
    model: str = Field(default="", max_length=200)
    """Name of the model there."""
    api_key_file: Path | None = None
    """File that holds the key, alone. It is read for each question and never shown."""
    allow_hosts: tuple[str, ...] = ()
    """Hosts beside this machine that stills may be sent to, by name or address."""
    stills: int = Field(default=8, ge=1, le=32)
    """Most stills that are sent with a question, beside its own images."""
    timeout_s: float = Field(default=60.0, ge=1, le=3600, allow_inf_nan=False)
    """Seconds that the server may be silent."""

    @property
    def host(self) -> str | None:
        """Host that stills are sent to; `None` where none is configured."""
        return None if self.base_url is None else urlsplit(self.base_url).hostname

    @model_validator(mode="after")
    def _check_host(self) -> Self:
        host = self.host
        if host is None:
            return self
        if not self.model:
            raise ValueError("answer.model names the model that the server is asked for")
        if not is_loopback(host) and host not in self.allow_hosts:
            raise ValueError(
                f"{host} is not this machine: stills are sent there only if answer.allow_hosts "
                "names it"
            )
        return self


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine by its name or address; no name is looked up."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
