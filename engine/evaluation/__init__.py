"""Evaluation: how right answers and evidence are, and how fast; one room for all of it.

    metrics           shares, intervals, overlaps: pure functions
    benchmark         what a benchmark is; `benchmarks/` holds them, one file each
    annotations       rows of their published files; `multiple_choice`, `subtitles` of their prompts
    runner            a benchmark's questions, one record each, resumable
    baselines         the same questions without the memory; `middle_frame` keeps what they see
    curation          the questions that only video answers, by the records of several models
    scoreboard        records as rows: score, interval, baselines, chance
    footage           questions and phrases about real recordings, with their truth
    judging           verdicts on free answers: right, wrong, refused
    needle            one needle planted in a haystack; `needle_grid` runs length x depth
    persistence       facts in a stream of a day, asked when they are old; `memories` keep the
                      stream in the same bytes, `levels` say how right an answer is
    grounding         evidence by vectors, by attention, and by both
    abstention        how often "not found" is wrong; `calibration` fits retrieval to say it well
    latency           milliseconds to the hits, the first token and the whole answer
    plots             heat maps side by side
    scratch_engine    the engine with a library of its own that measurements ask
    ingest_once       a video read once for many questions; `picture_folder` as a video
    bench             speed and memory of the engine; `device_ledger` counts what a card is asked
    reference_video_xl    the slow, obvious Video-XL that a bench compares with

*Decision*: measurements ask an engine and return records; nothing is printed. *Because* the same
numbers go to the bench's file, the README's table and a test's assertion.

*Decision*: a measurement never writes to the library of the engine it is given. *Because* drawn
recordings would be found by the next question.
"""
