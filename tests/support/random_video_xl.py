"""Video-XL nets with random weights, and a second KV cache beside a running one."""

from engine.models.layers.decoder import KvBuffer
from engine.models.tiny import randomise
from engine.models.video_xl.net import VideoXlNet, copy_base_to_vst
from engine.models.video_xl.vst import VstCache


def initialise(net: VideoXlNet, *, seed: int) -> VideoXlNet:
    """Fill a net with random weights of a usable scale; VST projections copy the base ones."""
    randomise(net, seed=seed)
    copy_base_to_vst(net)
    return net


def fork(cache: VstCache, n_more: int) -> KvBuffer:
    """Copy a cache with room for `n_more` tokens, to ask on while the original stays as it is."""
    copy = cache.decoder.buffer(cache.buffer.n + n_more)
    copy.copy_from(cache.buffer)
    return copy
