"""Fine-tuning of every family on people's own samples.

settings          a recipe's JSON file, and the samples that it names
stage_config      a stage as data: what learns, how fast, from which mixture
mixture           kinds of samples, their shares, and the drawing
trainer           the run: batches, held-out loss, checkpoint
causal_loss       next-token loss over answers behind visual tokens
lora              low-rank adapters, merged when the model is written
export            the files copied beside the new weights
apollo, pllava, videollama2   how their samples become sequences, and Apollo's stages
video_xl          Video-XL's loss: windows compressed into VSTs
video_xl_trainer  Video-XL's run: what learns, on which device, in which precision
"""
