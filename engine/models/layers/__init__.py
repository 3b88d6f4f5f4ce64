"""Layers that the families share.

attention         grouped-query attention and its masks
rotary            rotary position embedding (RoPE)
decoder decoder_config   causal decoder stack and its KV cache; its sizes and switches
generate          prefill, decode, sampling; picking chooses the next id
shared_steps      several answers in one step
chunk_attention   attention of a question on each of many chunks: the second retrieval signal
encoder towers    transformer encoders of CLIP and SigLIP; the towers made of them
preprocess        resize, crop and normalise frames for a tower
text_image        the joint image-text space beside a tower without its text side
prompt_rows       a prompt around recalled chunks: ids, embeddings, positions
recall            keys and values placed in a KV cache, rotated to fresh positions
thinning          tokens of a frame that differ from the frame before
number_words      counts spelt in English
splice            visual tokens in the place of placeholders, for training
tokenizer         text to ids and back, chat templates
weights           strict checkpoint loading and writing, key maps, fingerprints
lora              low-rank adapters fused at load time
int8 nf4 weight_formats fused_linear   matrices in 8 and in 4 bits, and several as one
products                  matrix products, by the library that is fastest on the processor
experts expert_files expert_budget   mixtures of experts: all held, or read when a token asks
fingerprint               the hash that tells models apart
config_fit                configs that do not fit a family, as one error
preprocessor_files        where the preprocessor of a checkpoint is written down
tied_head                 a stored head beside the table that it is tied to
allocation                memory of a net: at once, or matrix by matrix, turned as it is read
"""
