"""Settings of the web app, and of servers that share a library."""

from pydantic import Field, IPvAnyNetwork

from app.config.section import Section


class ServerSettings(Section):
    """Address of the web app."""

    host: str = Field(default="127.0.0.1", min_length=1)
    """Address to listen on. Any other than loopback requires an account with a password."""
    port: int = Field(default=7860, ge=0, le=65535)
    """TCP port; 0 takes a free one."""
    trusted_proxies: tuple[IPvAnyNetwork, ...] = ()
    """Addresses or networks of reverse proxies. Only from them are `X-Forwarded-For` and
    `X-Forwarded-Proto` believed; without a value, from nobody."""
    node_address: str | None = Field(default=None, pattern=r"^https?://[^/\s]+$")
    """Address at which other servers of a shared library reach this one, such as
    `http://10.0.0.5:7860`. With it, questions about latents that lie beside another server are
    answered there. Without a value, each server looks below its own home folder alone."""
    node_wait_s: float = Field(default=20.0, ge=0.1, le=3600)
    """Seconds that another server has for its part of an answer, which is then given without it."""
