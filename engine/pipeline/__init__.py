"""The flow: frames into memory, questions out of it. Read in this order.

    config          ModelConfig, RetrievalConfig, EngineConfig: everything that can be chosen
    engine          EngineConfig -> Engine: model, cache, index, and their fingerprint
    open_index      the name of a backend -> an index; `encoder_index` has that of an encoder
    follow          folders on disk -> an index that holds what they do
    encode          frames -> chunks, resized on the host -> visual tokens
    ingest          visual tokens -> latents -> cache (disk first), index; steps may overlap
    resume, turns   where an ingest goes on, and which of several is next at the model
    query           question -> Query: the phrases to look for, and whether one moment can answer it
    question_wording  slips, denials and several questions in one -> plain wording
    question_times  the part of the footage, the second or the hours that a question names
    question_days   the day that it names, on a local clock
    question_kinds  a question's words -> its kind, what it names, the moment it is about
    world           whether footage is of the narrow world that a model knows
    retrieve        Query -> one index pass a phrase -> hits, and the chunks to recall
    scoring         what speaks for a hit, and how much that is worth: pure functions
    search          phrase -> moments, without an answer
    still_search, row_search, fusion    moments by an encoder, by observations, and as one list
    coverage        what of a scope could be searched, and what was left out
    answer          chunks -> recalled latents -> tokens, then the Answer
    evidence        hits and attention mass -> the spans that are shown
    compose/        observations -> a sentence with its evidence, before any model is asked
    second_look     stills -> classes, colours and meanings, while a question is answered
    alerts/         observations -> what satisfies a standing question, and as one event
    chapters        observations and scene_changes -> the moments of a recording, with titles

Beside the flow: `caption` describes the stored chunks one by one; `similar` compares chunks with
words or with a frame.

*Decision*: ingest and answer are generators. *Because* the caller then owns threads, progress and
the database, and stopping at any yield is safe: what was yielded is on disk.

*Decision*: a question is parsed once and the index is asked once per phrase. *Because* hits and
the statistics they are compared with then come from the same rows, and each rule on words has one
caller.
"""
