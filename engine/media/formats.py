"""The containers and codecs that are accepted, by FFmpeg's names; everything else is refused.

A name is added when its demuxer or decoder is FFmpeg's own, reads nothing but the bytes that it is
given, and belongs to files that people have: of cameras, recorders, phones, edits and screens.
Left out are formats that name other files (playlists, scripts, image sequences), those of games,
and those that hold no moving pictures.
"""

import re
from typing import Final

import av

FFMPEG_FLOOR: Final = (8, 1)
"""Oldest release of FFmpeg whose decoders are trusted with foreign files: what older ones are known
to get wrong stands in https://ffmpeg.org/security.html. PyAV brings its own."""


def ffmpeg_release() -> tuple[int, ...]:
    """Return the release of the FFmpeg in use, as (8, 1, 2); empty for a build that has none."""
    match = re.match(r"n?(\d+(?:\.\d+)*)", av.ffmpeg_version_info)
    return tuple(map(int, match[1].split("."))) if match else ()


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


CONTAINERS = _words(
    """
    mov mp4 m4a 3gp 3g2 mj2 matroska webm avi mpegts mpeg flv ogg gif yuv4mpegpipe
    asf dhav dv mxf ivf
    h264 hevc mpegvideo m4v mjpeg
    mp3 flac wav aac
    """
)
VIDEO_CODECS = _words(
    """
    h264 hevc av1 libdav1d vp8 libvpx vp9 libvpx-vp9 mpeg1video mpeg2video mpeg4 theora
    rawvideo gif h261 h263 h263i h263p flv
    msmpeg4v1 msmpeg4v2 msmpeg4 wmv1 wmv2 wmv3 vc1 mss2
    mjpeg mjpegb jpeg2000 dvvideo prores dnxhd cfhd huffyuv ffvhuff ffv1 utvideo v210
    cinepak msvideo1 msrle svq1 svq3 qtrle rpza indeo3 indeo5 vp3 vp6 vp6f png zmbv tscc2 camtasia
    """
)
AUDIO_CODECS = _words(
    """
    aac aac_latm mp1float mp2 mp2float mp3 mp3float opus libopus vorbis libvorbis flac alac
    ac3 eac3 dca wmav1 wmav2 wmapro wmavoice amrnb amrwb speex nellymoser gsm gsm_ms qdm2
    adpcm_ms adpcm_ima_wav adpcm_ima_qt adpcm_swf g722 g726 g726le dvaudio
    pcm_s8 pcm_u8 pcm_s16le pcm_s16be pcm_s24le pcm_s24be pcm_s32le pcm_s32be pcm_f32le pcm_f32be
    pcm_alaw pcm_mulaw pcm_dvd pcm_bluray
    """
)
