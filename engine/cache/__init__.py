"""Latents on three tiers: ready on the device, near in host memory, committed on disk.

`LatentCache` (`tiered`) is the only door: it owns the tiers, and callers name chunks, not files.

*Decision*: the disk is the truth and the other tiers are copies. *Because* a kill must lose
nothing and a reader in another process must see what a writer has committed.

*Decision*: every tier holds a chunk in its stored form, and recalling unpacks it. *Because*
int8 latents then take half the memory of the device too, and a chunk that was evicted and
recalled cannot differ from one that never left. *Revisit when* unpacking shows in first-token
times.

*Decision*: keys take one scale per channel, values one per latent. *Because* keys of rotary
models have a few channels that are far larger than the rest, values do not (arXiv:2402.02750).

*Decision*: device and host tier are one class in `memory.py`. *Because* they differ by a device
and by pinning, and by nothing else.

*Decision*: a file's header is one JSON string. *Because* safetensors writes several metadata
entries in random order, and an ingest that was killed and resumed must leave the same bytes.
"""
