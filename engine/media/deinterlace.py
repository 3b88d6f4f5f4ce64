"""Deinterlacing of single pictures: lines of two moments become a picture of the first.

Only wanted pictures are decoded, so there are no neighbours in time to look at. FFmpeg's `yadif`,
shown the same picture as the one before and the one behind, takes new lines only where the two
fields contradict each other, and leaves what stands still at full height.
"""

import contextlib
from fractions import Fraction

import av
from av.filter import Graph
from av.video.frame import VideoFrame


class Deinterlacer:
    """A filter that is kept from picture to picture of one shape."""

    def __init__(self) -> None:
        self._graph: Graph | None = None
        self._shape: tuple[int, int, str] | None = None
        self._n_pushed = 0

    def deinterlaced(self, frame: VideoFrame) -> VideoFrame:
        """Return the picture without combs, with the time stamp of a filter."""
        shape = (frame.width, frame.height, frame.format.name)
        if self._graph is None or shape != self._shape:
            self._graph, self._shape, self._n_pushed = _graph(frame), shape, 0
        stamp, time_base = frame.pts, frame.time_base
        try:
            for _ in range(3):
                frame.pts, frame.time_base = self._n_pushed, Fraction(1, 25)
                self._graph.push(frame)
                self._n_pushed += 1
        finally:
            frame.pts = stamp
            if time_base is not None:
                frame.time_base = time_base
        # The filter gives out one picture fewer than it was shown: the last is the second of three.
        filtered = frame
        with contextlib.suppress(av.BlockingIOError, av.EOFError):
            while True:
                filtered = self._graph.vpull()
        return filtered


def _graph(frame: VideoFrame) -> Graph:
    graph = Graph()
    # One thread: the processor time of a confined process is shared by reading and models.
    graph.threads = 1
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 25)
    )
    filters = (source, graph.add("yadif", "mode=send_frame:deint=all"), graph.add("buffersink"))
    graph.link_nodes(*filters).configure()
    return graph
