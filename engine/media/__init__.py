"""Media to frames: the only folder that imports av.

    source, describe, formats   opens a file or feed, within limits and by allowlists
      sniff, address, duration   what a file is, where a feed is, how long a file is
      tags, wall_clock, chapters   what its tags, names and headers state of its clock and parts
      unreachable      why a feed gives no video, in words
      feed, relay, datagrams   how a feed is connected to, and to nobody else
      hls, playlist, fetch   segments of a playlist as one stream; import no av
      webcam           a camera of this machine
      onvif, soap      cameras of the network, found and asked
    live               a camera's frames in parts with a wall clock, beside their recording
      feed_stamps      its time stamps held against when packets arrive
      recording        its packets as they come, in fragmented MP4 files
      sound_recording, muxed_bytes   the sound beside its pictures, as AAC
      fragments, boxes, kept_layout   those files read, many as one; import no av
    stamps           time stamps made continuous where a file's clock steps or wraps
    packets          the compressed pictures of one stream
    gops, clock      packets in groups; when each of their pictures is shown
    gop_decoder      the wanted pictures of a group
    decode           the wanted pictures of a source
    frame            upright RGB
      orientation, deinterlace, tone   turned and mirrored, fields, high dynamic range
    sample           which frames are wanted: on a grid of time, still footage thinned
      stillness        the least difference of two pictures that counts
    hardware         the same frames by a card's decoder, for trusted files; imports torch
    picture          single pictures that people hand in
    audio, sound_packets, subtitles   sound and words on the same clock
    prefetch         reads ahead on a thread
    clip, encode     files for the player and for the user's exports
    baseline         plain PyAV, for benchmarks

A foreign file is opened in a child process (`app/sandbox`), which must start fast and stay
small, so frames leave this folder as numpy arrays; they become tensors where batches are made.

Decision: one clock. Times are presentation times minus that of the first frame that decodes,
kept as integer ticks until the last step, so that a day-old camera stream and a clip that starts
at 25 h both begin at 0 and no rounding creeps in.

Decision: a Matroska file that starts late is read at its end for its length, because writers
disagree whether the header counts from zero or from the start. Other headers are believed.

Decision: in transport and program streams and Flash video, a step of the clock back by more than
0.1 s or ahead by more than 10 s means that it was set, and time goes on by duration, as in
FFmpeg's command line; a step by 2^33 ticks is a wrap. So a recorder's pause of more than 10 s
shrinks there, because nothing tells it from recordings that were joined; every other container
keeps its holes. Such files are read from the start for a clip or for sound, because a seek would
land on either side of a step.

Decision: which frame is sampled depends on the file alone, never on where a reader starts: the
frame shown at each multiple of 1/fps, each frame at most once, a hole in the clock skipped. So an
ingest that was killed continues with the same bytes as one that was not.

Decision: the uri is opened as `file:` plus an absolute path, never through a file object, through
which playlists were seen to open other files and sockets (av 18.1.0, FFmpeg 8.1.2).

Decision: packets say when pictures are shown before any is decoded, so each group of pictures is
planned: skipped, cut short at its last wanted picture, or decoded as a keyframe alone. Exact,
unlike taking the nearest keyframe. Measured on an hour of 640x360 H.264 at 1 fps, 5 s groups:
0.71 of the processor time of decoding everything with bare PyAV
(`app/services/benchmarks/decode.py`).

Decision: to resume, packets are read from the start and thrown away undecoded; only a single
moment is sought. Seeking would lose the clock of files whose time stamps jump. Revisit for
day-long files on slow disks. Known: in a damaged stream without clean groups (raw H.264, endless
groups, torn JPEG), FFmpeg's threads conceal damage differently from run to run, so there the
bytes of damaged pictures may differ after a resume; their times do not.
"""
