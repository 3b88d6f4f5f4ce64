"""The requests of OpenAI's chat completions and embeddings, as far as Longwatch reads them."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, field_validator

from app.schemas.common import Schema
from engine.errors import InputRefusedError

MOST_MESSAGES = 200
MOST_INPUTS = 256


class VideoUrl(Schema):
    """A video of the library, or a part of one: `video://ID#t=60,120` or `video://NAME#t=60`."""

    url: str = Field(max_length=600)


class TextPart(Schema):
    """Text in a message."""

    type: Literal["text"]
    text: str


class VideoPart(Schema):
    """A video to search."""

    type: Literal["video_url"]
    video_url: VideoUrl


class ImageUrl(Schema):
    """A still image as `data:image/jpeg;base64,...`: nothing is fetched."""

    url: str


class ImagePart(Schema):
    """A still image to look at."""

    type: Literal["image_url"]
    image_url: ImageUrl


ContentPart = Annotated[TextPart | VideoPart | ImagePart, Field(discriminator="type")]


class ChatMessage(Schema):
    """One message: text, or parts of text, videos and images."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | Annotated[list[ContentPart], Field(max_length=64)]

    @field_validator("role", mode="before")
    @classmethod
    def _no_tools(cls, role: Any) -> Any:
        if role in {"tool", "function"}:
            raise InputRefusedError("messages of tools are not read: Longwatch calls none")
        return role

    @field_validator("content", mode="before")
    @classmethod
    def _no_foreign_parts(cls, content: Any) -> Any:
        if content is None:
            # As clients send what an assistant said that had no words.
            return ""
        for part in content if isinstance(content, list) else ():
            kind = part.get("type") if isinstance(part, dict) else None
            if kind not in {"text", "video_url", "image_url"}:
                raise InputRefusedError(
                    f"parts of type {kind!r} are not read",
                    hint="send text, video_url as video://ID#t=60,120, or image_url as data:image/"
                    "jpeg;base64,...",
                )
        return content


class StreamOptions(Schema):
    """Choice of what a stream ends with."""

    include_usage: bool = False


class ChatCompletionRequest(Schema):
    """A conversation to continue. Fields that are not named here are ignored."""

    # As of every body of a request, see `RequestModel`.
    model_config = ConfigDict(defer_build=False)

    model: str = Field(default="longwatch", max_length=400)
    messages: list[ChatMessage] = Field(min_length=1, max_length=MOST_MESSAGES)
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    """Most tokens of the answer, in the loaded model's tokens."""
    max_completion_tokens: int | None = Field(default=None, ge=1)
    """The newer name of `max_tokens`."""
    stop: str | Annotated[list[str], Field(max_length=4)] | None = None
    """The answer ends before any of these."""
    temperature: float | None = Field(default=None, ge=0, le=2)
    """0 where it is not given: answers are repeatable."""
    top_p: float | None = Field(default=None, gt=0, le=1)
    seed: int | None = None
    n: int | None = None
    """Only 1."""
    tools: list[Any] | None = None
    """Refused unless it is empty."""
    response_format: dict[str, Any] | None = None
    """Only `{"type": "text"}`."""


class EmbeddingsRequest(Schema):
    """Texts, or frames as `video://ID#t=12.5`, to place in the space of search."""

    model_config = ConfigDict(defer_build=False)

    model: str = Field(default="longwatch", max_length=400)
    input: str | Annotated[list[str], Field(min_length=1, max_length=MOST_INPUTS)]
    encoding_format: Literal["float", "base64"] = "float"
    """`base64`: the numbers as little-endian float32."""
    dimensions: int | None = None
    """Only what the space has."""
