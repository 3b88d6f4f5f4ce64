"""SigLIP and SigLIP 2: any checkpoint of fixed resolution with both towers.

Weights: google/siglip2-base-patch16-224 and its siblings, google/siglip-base-patch16-224 and its.
Source: Zhai et al., Sigmoid Loss for Language Image Pre-Training (arXiv:2303.15343); Tschannen et
    al., SigLIP 2 (arXiv:2502.14786).
Its checkpoints of native resolution (NaFlex) are another architecture and are refused.
"""

from typing import Final

from engine.sight.tower_encoder import EncoderRelease, TowerFamily

FAMILY: Final = TowerFamily(
    name="siglip2",
    kind="siglip",
    knows="Learned from pictures of the web with their captions: things, scenes, actions, colours "
    "and styles in nearly any words; weak at counting and at small print.",
    # Added to the sigmoid's log-odds, which were trained against a batch of strangers: a picture
    # that shows the phrase comes out at a few per cent there.
    claim=4.0,
    releases=(
        EncoderRelease(
            repository="google/siglip2-base-patch16-224",
            weight_bytes=1_500_000_000,
            licence="Apache-2.0",
            note="the encoder that is recommended beside `concepts`",
        ),
    ),
)
RELEASES: Final = FAMILY.releases
open_encoder: Final = FAMILY.open_encoder
