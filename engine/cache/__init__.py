"""Latents on three tiers: ready on the device, near in host memory, committed on disk; and stills.

    tiered       `LatentCache`, the only door: it owns the tiers, and callers name chunks, not files
    memory, disk    the tiers; budget: which chunk leaves one first
    codec, quantise    the stored form of latents, in their own dtype or in few bits
    latent_file, still_file, commit    files of a chunk, and how they are written
    stills, vectors    sampled frames as small pictures, and what encoders made of them; disk alone
    far          the same files where several machines share them

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

*Decision*: a file's header is one JSON string. *Because* safetensors writes several metadata
entries in random order, and an ingest that was killed and resumed must leave the same bytes.
"""
