"""Evaluation: how right answers and evidence are, and how fast; one room for all of it.

    metrics           shares, intervals, overlaps: pure functions
    runner            a benchmark's questions, one record each, resumable; `benchmarks/` holds them
    needle            one needle planted in a haystack; `needle_grid` runs length x depth
    grounding         evidence by vectors, by attention, and by both
    abstention        how often "not found" is wrong; `calibration` fits retrieval to say it well
    latency           milliseconds to the hits, the first token and the whole answer
    plots             heat maps side by side
    scratch_engine    the engine with a library of its own that measurements ask

*Decision*: measurements ask an engine and return records; nothing is printed. *Because* the same
numbers go to the bench's file, the README's table and a test's assertion.

*Decision*: a measurement never writes to the library of the engine it is given. *Because* drawn
recordings would be found by the next question.
"""
