"""Studies of scaling consistency: do decisions made on small models hold for larger ones?

    plan        what is trained: sizes, decisions and their options, stages, what is measured
    variant     one variant of nano as a task of the loop, and its score on held-out contexts
    run         towers, features, variants; one record each, those that are there are not made again
    transfer    rank correlations between sizes, and what choosing by a small size costs a large one
    picture     the correlations and the decisions, drawn

After Apollo (arXiv:2412.10360), which found that decisions on models of 2 to 4 B parameters carry
over to 7 B (R2 above 0.9 between sizes). Ours are a thousand times smaller.

Decision: a variant is scored by the likelihood of held-out answers beside the share of right ones.
*Because* after minutes of training few answers are right, and shares of few are mostly chance.
Decision: an interval resamples variants and held-out contexts together. *Because* both were drawn;
what another seed of training would change it does not hold, which the base's further seeds show.
"""
