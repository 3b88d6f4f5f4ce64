"""CLIP: any checkpoint with both towers.

Weights: openai/clip-vit-base-patch32 and its siblings, and others in their layout.
Source: Radford et al., Learning Transferable Visual Models From Natural Language Supervision
    (arXiv:2103.00020).
"""

from typing import Final

from engine.sight.tower_encoder import EncoderRelease, TowerFamily

FAMILY: Final = TowerFamily(
    name="clip",
    kind="clip",
    knows="Learned from pictures of the web with their captions: things, scenes, actions and "
    "colours in nearly any words; weak at counting, and at telling that something is absent.",
    # Its loss compares phrases and knows no bias: at the trained scale of 100 a cosine of 0.25 is
    # claimed, between the 0.15 to 0.2 of strangers and the 0.25 to 0.32 of captions.
    claim=-25.0,
    releases=(
        EncoderRelease(
            repository="openai/clip-vit-base-patch32",
            weight_bytes=605_000_000,
            licence="MIT (code; the weights' card names none)",
            note="smaller and older than SigLIP 2",
        ),
    ),
)
RELEASES: Final = FAMILY.releases
open_encoder: Final = FAMILY.open_encoder
