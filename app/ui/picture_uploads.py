"""Pictures that were put beside a question and wait for it: whose they are, and how many."""

import json
from collections import deque
from pathlib import Path
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import Message, Scope, Send

MOST_WAITING: Final = 32
"""Pictures of one user; the oldest make room."""


class PictureUploads:
    """The pictures of one process that wait, by their users; none is written down."""

    def __init__(self) -> None:
        """Know of none."""
        self._waiting: dict[str, deque[str]] = {}

    def has(self, owner: str, path: str) -> bool:
        """Return whether a file is a picture that a user has put there."""
        return path in self._waiting.get(owner, ())

    def add(self, owner: str, path: str) -> None:
        """Note a picture of a user, and delete their oldest where there are too many."""
        waiting = self._waiting.setdefault(owner, deque())
        if path in waiting:
            waiting.remove(path)
        waiting.append(path)
        while len(waiting) > MOST_WAITING:
            oldest = waiting.popleft()
            # The same picture has the same path, whoever sends it.
            if not any(oldest in others for others in self._waiting.values()):
                Path(oldest).unlink(missing_ok=True)

    def noting(self, owner: str, send: Send) -> Send:
        """Return a sender that passes Gradio's answer to an upload on, and notes what it names."""
        body, is_done = bytearray(), False

        async def sender(message: Message) -> None:
            nonlocal is_done
            if message["type"] == "http.response.start":
                is_done = message["status"] == 200
            elif message["type"] == "http.response.body":
                body.extend(message.get("body", b""))
                if is_done and not message.get("more_body", False):
                    for path in json.loads(bytes(body)):
                        self.add(owner, str(path))
            await send(message)

        return sender


def without_compression(scope: Scope) -> Scope:
    """Return a request whose answer comes as it is."""
    headers = MutableHeaders(raw=list(scope["headers"]))
    del headers["accept-encoding"]
    return {**scope, "headers": headers.raw}
