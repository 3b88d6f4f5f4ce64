"""Components of our own: `gr.HTML` classes with typed values, props and events.

    base        the class of them all: how a component finds its script in `static`
    address     the query string of the page as a value
    grid        cards by key, of which those that have changed are sent
    drawer      the head of a panel beside the page
    moments     moments as pictures with their times
    player, timeline   a video, and what is on its axis of time
    heat, table, verdicts, file_put   cells, rows, buttons, one file
    alerts      alerts as pictures with what may be answered; cameras as a wall of pictures
    upload      resumable uploads; pulse is a timer that rests while nobody looks
    zone        a polygon or a line that is drawn on a picture

Decision: a value that comes from a video, a model or a person never passes a template of
`gr.HTML`. Gradio runs what its templates have rendered as the text of a JavaScript template, so
that `${...}` in a name or a caption would be run (6.31, `HTML-*.js`). Markup is written in Python
with `markupsafe`, which escapes; what JavaScript draws becomes text nodes.
"""
