"""Training samples: people's files, checked, drawn and labelled.

samples       LLaVA-style JSON lines to samples, weighted sources, bad lines named
media         the frames of a sample's media
labelled_ids  token ids with their labels
chat_labels   conversations to tokens and labels, as Video-XL reads them
captions      captions read from JSON lines or WebVTT
clips         videos cut into clips, each described by a model
recaption     those captions in the forms of data sets
"""
