"""Eyes apart from the answering model: encoders of stills, and observers that state facts.

Both look at stills that ingest kept, in the background, so that ingest stays as fast as decoding.

    encoders/, tower_encoder    phrases and stills as vectors; claims: from where one is believed
    observers/, observer    objects, motion, speech, print; the seam that each of them fills
    detector, detectors, tracks, colours    boxes of things, joined over time, with their colours
    classifier, concept_terms    classes of a picture, and phrases in terms of classes and labels
    sentences, thing_words, word_groups, word_synonyms    what words mean and stand for
    parts    weights that installed packages bring
"""
