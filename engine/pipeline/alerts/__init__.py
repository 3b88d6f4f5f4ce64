"""Standing questions over what observers state: what satisfies one, and what is one event.

    geometry    zones and lines on the picture, and where a track goes through them
    sightings   rows of observers as stretches that satisfy a condition, each with a support
    events      sightings joined into events, stretch by stretch while footage comes in

Decision: a thing on the ground is where its box ends below, at the middle: a person who stands
behind a fence is not in the zone before it. Of movement without a thing, too.
Decision: events are a fold over stretches of footage, because a camera is looked at a minute at a
time and a recording at once, and both must raise the same (`tests/engine/pipeline/alerts`).
"""
