"""Tone mapping of high dynamic range (PQ and HLG) to the standard range that models are trained on.

Diffuse white lands a little below the brightest value, what is darker keeps its proportions, and
highlights up to 1000 nits are compressed into what is left.

Source: ITU-R BT.2100 (curves of PQ and HLG), BT.2408 (diffuse white at 203 nits), BT.2087 (colour
primaries), BT.1886 (gamma of the display); the curve is `mobius` of FFmpeg's `tonemap`.
"""

from functools import cache

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorTrc
from jaxtyping import Float32, UInt8, UInt16

_WHITE_NITS = 203.0
# Grading monitors and phones end there; brighter highlights are rare and become white.
_PEAK = 1000.0 / _WHITE_NITS
# Linear up to here: diffuse white comes out at 239 of 255, and faces stay as bright as they were.
_KNEE = 0.7
_DISPLAY_GAMMA = 2.4
_CODES = 1 << 16
# Rows at once: floats of a large picture would take 800 MB.
_BAND_ROWS = 64
_BT2020_TO_BT709 = (
    (1.6605, -0.5876, -0.0728),
    (-0.1246, 1.1329, -0.0083),
    (-0.0182, -0.1006, 1.1187),
)


def is_high_range(frame: VideoFrame) -> bool:
    """Return whether a picture is coded with one of the two curves."""
    return frame.color_trc in (ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67)


def to_standard_range(
    coded: UInt16[np.ndarray, "h w 3"], frame: VideoFrame
) -> UInt8[np.ndarray, "h w 3"]:
    """Return a picture in the standard range.

    Args:
        coded: RGB over all 16 bits, still on the curve of the frame.
        frame: Where it came from.
    """
    is_hlg = frame.color_trc == ColorTrc.ARIB_STD_B67
    is_wide = frame.color_primaries == ColorPrimaries.BT2020
    linear = _hlg_table() if is_hlg else _pq_table()
    shown = np.empty(coded.shape, dtype=np.uint8)
    for row in range(0, len(coded), _BAND_ROWS):
        light = linear[coded[row : row + _BAND_ROWS]]
        if is_hlg:
            light *= _system_gamma(light)[..., None]
        if is_wide:
            light = _to_narrow_primaries(light)
        brightest = light.max(axis=-1, keepdims=True)
        light *= _compressed(brightest) / np.maximum(brightest, 1e-6)
        codes = np.clip(light * (_CODES - 1), 0, _CODES - 1).astype(np.uint16)
        shown[row : row + _BAND_ROWS] = _display_table()[codes]
    return shown


def _compressed(light: Float32[np.ndarray, "*shape"]) -> Float32[np.ndarray, "*shape"]:
    """Return light in [0, 1]: linear to the knee, then a hyperbola that meets the peak at 1."""
    a = -(_KNEE**2) * (_PEAK - 1) / (_KNEE**2 - 2 * _KNEE + _PEAK)
    b = (_KNEE**2 - 2 * _KNEE * _PEAK + _PEAK) / (_PEAK - 1)
    above = np.clip(light, _KNEE, _PEAK)
    curved = (b * b + 2 * b * _KNEE + _KNEE**2) / (b - a) * (above + a) / (above + b)
    return np.where(light <= _KNEE, light, curved).astype(np.float32)


def _to_narrow_primaries(light: Float32[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "h w 3"]:
    """Return light in the primaries of BT.709; colours that it cannot show are clipped."""
    # Sums in a fixed order, not a matrix product, whose order depends on the machine.
    red, green, blue = light[..., 0], light[..., 1], light[..., 2]
    rows = [
        np.float32(r) * red + np.float32(g) * green + np.float32(b) * blue
        for r, g, b in _BT2020_TO_BT709
    ]
    return np.maximum(np.stack(rows, axis=-1), 0)


def _system_gamma(scene: Float32[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "h w"]:
    """Return what a display of 1000 nits multiplies the light of a scene with."""
    luminance = scene[..., 0] * 0.2627 + scene[..., 1] * 0.678 + scene[..., 2] * 0.0593
    return np.power(np.maximum(luminance / _PEAK, 1e-6), 0.2).astype(np.float32)


@cache
def _pq_table() -> Float32[np.ndarray, " code"]:
    """Light per code of PQ, 1 at diffuse white."""
    m1, m2 = 2610 / 16384, 2523 / 4096 * 128
    c1, c2, c3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
    root = np.linspace(0, 1, _CODES) ** (1 / m2)
    nits = 10_000 * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)
    return np.asarray(nits / _WHITE_NITS, dtype=np.float32)


@cache
def _hlg_table() -> Float32[np.ndarray, " code"]:
    """Light of the scene per code of HLG, scaled to the peak of the display."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    code = np.linspace(0, 1, _CODES)
    scene = np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)
    return np.asarray(scene * _PEAK, dtype=np.float32)


@cache
def _display_table() -> UInt8[np.ndarray, " code"]:
    """Codes of eight bits for light in [0, 1] of 16."""
    light = np.linspace(0, 1, _CODES)
    return np.round(255 * light ** (1 / _DISPLAY_GAMMA)).astype(np.uint8)
