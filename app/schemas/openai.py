"""The request of OpenAI's chat completions, as far as Longwatch reads it."""

from typing import Annotated, Literal

from pydantic import Field

from app.schemas.common import Schema


class VideoUrl(Schema):
    """A video of the library, or a part of one: `video://ID#t=60,120`."""

    url: str = Field(max_length=200)


class TextPart(Schema):
    """Text in a message."""

    type: Literal["text"]
    text: str


class VideoPart(Schema):
    """A video to search."""

    type: Literal["video_url"]
    video_url: VideoUrl


ContentPart = Annotated[TextPart | VideoPart, Field(discriminator="type")]


class ChatMessage(Schema):
    """One message: text, or parts of text and videos."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | Annotated[list[ContentPart], Field(max_length=64)]


class ChatCompletionRequest(Schema):
    """A conversation to continue."""

    model: str = Field(default="longwatch", max_length=200)
    messages: list[ChatMessage] = Field(min_length=1, max_length=200)
    stream: bool = False
