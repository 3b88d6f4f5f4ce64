"""Cameras that are found on the network, and the streams of one of them."""

from pydantic import Field

from app.schemas.common import RequestModel, Schema


class FoundCamera(Schema):
    """A device that answered a call."""

    address: str
    """Where it is asked for its streams."""
    name: str
    """As it calls itself; its address where it has no name."""
    hardware: str
    location: str


class FoundCamerasResponse(Schema):
    """The document of `cameras discover`."""

    devices: list[FoundCamera]


class CameraStreamsRequest(RequestModel):
    """A device to be asked for its streams."""

    address: str = Field(min_length=1, max_length=4096)
    """`http://10.0.0.7/onvif/device_service`, or its host alone."""
    user: str = Field(default="", max_length=256)
    """Empty asks without a sign-in."""
    password: str = Field(default="", max_length=1024, repr=False)


class CameraStreamItem(Schema):
    """A stream of a device."""

    profile: str
    name: str
    address: str
    """Without a sign-in."""
    codec: str
    width_px: int
    height_px: int
    fps: float | None


class CameraStreamsResponse(Schema):
    """The streams of a device, the largest picture first."""

    name: str
    streams: list[CameraStreamItem]
    refused: list[str]
    """Streams at addresses that no camera may have."""
