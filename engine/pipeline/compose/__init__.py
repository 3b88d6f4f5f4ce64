"""Answers composed from observations: a question's kind and rows to a sentence and its evidence.

    footage    the rows of a scope with their reach, and the port for a second look at a still
    visits     tracks to visits: merged, counted at once and over time, their place and direction
    witnesses  which rows are sure, and which things may be denied
    sentences  times, counts and lists in plain English
    subjects   the thing that a question names, with the rows that show it
    presence   is there, when, how long, how many, how often, longest
    found      whether and when, of what only an encoder knows
    order      which first, what next, in which order
    naming     what animal, what object, what is held
    wearing    what somebody wears, and in which colours
    colour     what colour, by tracks, classes and parts of the picture
    places     where in the picture, which direction, nearer or farther
    scenes     which kind of place
    doings     what somebody does, by things in reach and tracks
    words      what is said, what is written
    people     who came, by looks and times
    ordinal    the second or the third of several
    overview   summary and description
    starters   questions to begin with
    composer   the kind of a question to the function that answers it

*Decision*: sentences come from templates over rows. *Because* a language model of 135 million
parameters, given the right row, invented half of its answers. *Revisit when* an answerer that
reads rows is measured to be better.

*Decision*: a row of one detector is no "yes" alone. *Because* SSD MobileNet saw a "cell phone" at
confidence 1.00 in a street from above. A second witness is another model, company, or time.

*Decision*: whoever takes a thing for granted is a witness. *Because* "what colour is the car" is
asked by somebody who saw one: a class that shows faintly, or movement without a name, then is it.
Of "is there a car" neither is a "yes".

*Decision*: "No" is said rarely: of things that the detector finds well, where it looked
everywhere and nothing moved that it did not name. *Because* a false denial costs more trust than
"nothing here recognised it".
"""
