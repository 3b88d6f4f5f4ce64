"""Model families, one folder each, over shared layers.

    registry      the family of a checkpoint folder, and its weights loaded
    layers/       attention, RoPE, decoder, towers, tokenizer, checkpoint loading and the like
    token_model   what the families without KV compression share (Apollo, PLLaVA, VideoLLaMA 2)
    frame_model   what those share whose frames stand among timestamps (SmolVLM2, Qwen3-VL)
    frame_checkpoint   what the loaders of those share
    precision     the number format that suits a device
    tiny          sizes, random weights and tokenizers of the variants that tests run
    video_xl/     hours of video as summary tokens: the family of the shipped nano
    apollo/ pllava/ videollama2/
    smolvlm/ qwen3_vl/   answerers for a machine without a card, and for one with

Decision: a family is a folder here that has a `model.py`; nothing registers it. Because upstream,
papers and contributors think in models. A layer that one family alone uses lies in its folder.

Decision: families do not import each other, which a contract of import-linter holds. Because any
one of them can then be read, replaced or removed alone. What two need goes to `layers` or
`token_model` or `frame_model`.

Decision: parameters that a release has keep one place in our nets, and a `KEY_MAP` translates its
names; tests and golden cases load through the same map as real checkpoints. Revisit when a release
needs its tensors transformed, not renamed.
"""
