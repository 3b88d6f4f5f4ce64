"""Model families, one folder each, over shared layers.

    registry      the family of a checkpoint folder, and its weights loaded
    layers/       attention, decoder, rotary embedding, towers, tokenizer, weights and the like
    token_model   what the families without KV compression share (Apollo, PLLaVA, VideoLLaMA 2)
    video_xl/ apollo/ pllava/ videollama2/

*Decision*: a family is a folder here that has a `model.py`. *Because* upstream, papers and
contributors think in models; a layer that one family alone uses lies in its folder.
"""
