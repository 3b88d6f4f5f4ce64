"""The containers and codecs that are accepted, by FFmpeg's names; everything else is refused.

A name is added when its demuxer or decoder is FFmpeg's own, reads nothing but the bytes it is
given, and belongs to files that people have.
"""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


CONTAINERS = _words(
    """
    mov mp4 m4a 3gp 3g2 mj2 matroska webm avi mpegts mpeg flv ogg gif yuv4mpegpipe h264 hevc
    mpegvideo m4v mp3 flac wav aac
    """
)
VIDEO_CODECS = _words(
    """
    h264 hevc av1 libdav1d vp8 libvpx vp9 libvpx-vp9 mpeg1video mpeg2video mpeg4 mjpeg theora
    rawvideo gif h263 flv
    """
)
AUDIO_CODECS = _words(
    """
    aac aac_latm mp2 mp2float mp3 mp3float opus libopus vorbis libvorbis flac alac ac3 eac3
    pcm_s16le pcm_s16be pcm_s24le pcm_f32le pcm_u8 pcm_alaw pcm_mulaw amrnb amrwb
    """
)
