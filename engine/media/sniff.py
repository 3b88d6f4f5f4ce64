"""Recognition of files by their first bytes, whatever their names say.

Playlists, manifests and session descriptions are each refused by their kind, because FFmpeg would
open what they point at.
"""

from pathlib import Path

_JPEG = b"\xff\xd8\xff"
_UNSAFE_TEXT = (
    (b"#extm3u", "a playlist"),
    (b"[playlist]", "a playlist"),
    (b"ffconcat", "a concat script"),
    (b"v=0", "a session description (SDP)"),
    (b"<?xml", "an XML document"),
    (b"<svg", "an SVG document"),
    (b"<!doctype", "an XML document"),
    (b"<mpd", "a DASH manifest"),
    (b"<smil", "a SMIL playlist"),
    (b"<asx", "a playlist"),
    (b"[reference]", "a playlist"),
    (b"rtsptext", "a playlist"),
)
_MAGIC = (
    *((4, box) for box in (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp", b"moof")),
    (0, b"\x1a\x45\xdf\xa3"),
    (0, b"RIFF"),
    (0, b"OggS"),
    (0, b"FLV\x01"),
    (0, b"GIF8"),
    (0, b"YUV4MPEG2 "),
    (0, b"ID3"),
    (0, b"fLaC"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"),  # ASF: WMV, WMA
    (0, b"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02"),  # MXF
    (0, b"\x1f\x07\x00"),  # DV
    (0, b"DKIF"),  # IVF
    (0, b"DHAV"),
    (0, b"DAHUA"),
    (0, b"IMKH"),  # A header of Hikvision recorders before a program stream
    (0, _JPEG),  # JPEG pictures one after the other; a single one is refused later
)
_TEXT_BYTES = frozenset(range(32, 127)) | frozenset(b"\t\r\n\f") | frozenset(range(128, 256))


def sniff(head: bytes) -> str | None:
    """Return why the first bytes of a file are no video to be opened, or `None` if they may be."""
    if not head:
        return "the file is empty (0 bytes)"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "this is a web page, not a video; a download that failed leaves such a file"
    for prefix, kind in _UNSAFE_TEXT:
        if text.startswith(prefix):
            return f"this is {kind}, not a video; it could name other files or hosts"
    if any(head.startswith(magic, offset) for offset, magic in _MAGIC) or _is_mpegts(head):
        return None
    if _is_mp3_or_adts(head) or head.startswith((b"\x00\x00\x00\x01", b"\x00\x00\x01")):
        return None
    if all(byte in _TEXT_BYTES for byte in head[:512]):
        return "this is text, not a video"
    return "the content is no video format that is known here, whatever the name says"


def is_jpeg(path: Path) -> bool:
    """Return whether a file begins with a JPEG picture; a dump of many is a video."""
    with path.open("rb") as file:
        return file.read(len(_JPEG)) == _JPEG


def _is_mpegts(head: bytes) -> bool:
    """Return whether three sync bytes stand in step: packets of 188, 192 (Blu-ray) or 204 bytes."""
    for size in (188, 192, 204):
        for at in range(min(size, max(0, len(head) - 2 * size))):
            if head[at] == head[at + size] == head[at + 2 * size] == 0x47:
                return True
    return False


def _is_mp3_or_adts(head: bytes) -> bool:
    return len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0
