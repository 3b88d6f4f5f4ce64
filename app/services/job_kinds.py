"""Kinds of jobs that are looked for by others than the service that runs them.

Here, because what runs them imports detectors and readers, which a question does without.
"""

from typing import Final

OBSERVE: Final = "observe"
"""Observers over a video, behind its ingest."""
