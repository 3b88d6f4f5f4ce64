"""Media to frames: the only folder that imports av, and none of it imports torch.

A foreign file is opened in a child process (`app/sandbox.py`), which must start fast and stay
small, so frames leave this folder as numpy arrays; they become tensors where batches are made.

Decision: one clock. Times are presentation times minus that of the first frame that decodes,
kept as integer ticks until the last step, so that a day-old camera stream and a clip that starts
at 25 h both begin at 0 and no rounding creeps in.

Decision: which frame is sampled depends on the file alone, never on where a reader starts: the
frame shown at each multiple of 1/fps, each frame at most once, a hole in the clock skipped. So an
ingest that was killed goes on with the same bytes as one that was not.

Decision: the uri is opened as `file:` plus an absolute path, never through a file object: through
one, playlists were seen to open other files and sockets (av 18.1.0, FFmpeg 8.1.2).
"""
