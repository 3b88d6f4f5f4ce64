"""Is the past really there? Needles planted at known moments, asked for, and looked for.

*Decision*: a probe goes through the real pipeline into a throw-away cache: towers, chunks, files,
index, retrieval, answer. *Because* a probe of anything else would prove nothing about the product.

*Decision*: the haystack's frames go through the towers once and every cell reuses their tokens.
*Because* frames are independent there, and the towers are most of the cost.

*Decision*: evidence counts when a span that is shown covers the planted frame. *Because* that is
what a person sees; a retrieved but unshown chunk helps nobody.
"""
