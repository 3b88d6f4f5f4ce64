"""Latents on three tiers: ready on the device, near in host memory, committed on disk; and stills.

`LatentCache` (`tiered`) is the only door: it owns the tiers, and callers name chunks, not files.

*Decision*: the disk is the truth and the other tiers are copies. *Because* a kill must lose
nothing and a reader in another process must see what a writer has committed.

*Decision*: every tier holds a chunk in its stored form, and recalling unpacks it. *Because*
8-bit latents then take half the memory of the device too, and a chunk that was evicted and
recalled cannot differ from one that never left. *Revisit when* unpacking shows in first-token
times.

*Decision*: integers have a step and a zero point for each channel over a chunk, of keys and of
values (`quantise`). *Because* a few channels are far larger than the rest, in video those of
values too (arXiv:2503.16257), and because a bias that all keys share then costs nothing.

*Decision*: device and host tier are one class in `memory.py`. *Because* they differ by a device
and by pinning, and by nothing else.

`StillStore` (`stills`) keeps the sampled frames beside them as small pictures, on disk alone.

*Decision*: a file's header is one JSON string. *Because* safetensors writes several metadata
entries in random order, and an ingest that was killed and resumed must leave the same bytes.
"""
