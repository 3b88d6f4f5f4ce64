"""Fine-tuning of every family on people's own samples.

settings          a recipe's JSON file, and the samples that it names
stage_config      a stage as data: what learns, how fast, from which mixture
mixture           kinds of samples, their shares, and the drawing
trainer           the run: batches, held-out loss, checkpoint
causal_loss       next-token loss over answers behind visual tokens
lora              low-rank adapters, merged when the model is written
precision         bfloat16 or float32, by settings and device
export            the files copied beside the new weights
apollo, pllava, videollama2   how their samples become sequences, and Apollo's stages
step_memory       bytes that a step of any family holds
memory_plan       the same of a Video-XL stage, from its settings
video_xl          Video-XL's loss: windows compressed into VSTs
video_xl_trainer  Video-XL's run: what learns, on which device, in which precision
"""
