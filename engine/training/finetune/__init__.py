"""Fine-tuning of every family on people's own samples.

stage_config     the settings of one stage
trainer          the run: data, batches, held-out loss, export
causal_loss      next-token loss over answers behind visual tokens
lora             adapters around a model, fused when it is written
apollo           Apollo's stages
video_xl         Video-XL's samples: windows compressed into VSTs
video_xl_trainer Video-XL's stages
"""
