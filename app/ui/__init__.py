"""The web app: Gradio pages in Python, with a few components of our own.

    site        every page as a route of one Blocks, and its place in the application
    pages/      one file a page: components, events, and the handlers that call services
    components/ `gr.HTML` classes of ours: player, timeline, cards, moments, upload and others
    strip, day, seen, talk, chapter_lists, probe_run, verdicts   what pages show of the services
    search_fields   contents of the fields of the search page
    video_picker   a menu of videos that looks their names up
    library_drawers, library_fields, library_parts, video_card, video_status   the library
    conversation, asking   questions and answers as messages, and one as it is being written
    accounts, alert_rules, alert_destinations, camera_finder   parts of other pages
    hints       hints of services in the words of the web
    endpoints   named functions for `gradio_client` and MCP
    caller      the user of a handler, and errors as sentences for them
    session_guard, picture_uploads  events of Gradio, and files, belong to the user who made them
    question_box   the box of a question, with pictures where whoever answers reads them
    frame, theme, markup   what stands around every page, and how it looks
    gradio_import  the import of Gradio, which writes no files here
    static/     colours, type, fonts, and the scripts of the components

Decision: long work stays a job, and media stays on `/media`, because Gradio stops a generator when
the browser leaves, and its players copy and re-encode what they are given.
Decision: pictures beside a question are taken by Gradio's own box (`gr.MultimodalTextbox`), which
picks, takes from the clipboard and lets drop without a script of ours; where nothing reads
pictures it is a `gr.Textbox`, and Gradio's uploads stay shut.
Decision: citations, the timeline and the player answer in the browser, because a seek must not
wait for the server: they speak to each other by events of the document, and neither needs the
other.
Decision: the player is our own, because media-chrome 4.19 and vidstack 1.15 do not know its kept
stills in place of footage, seconds that begin after those of the file, marks and evidence; of
some 220 lines they would take about 20. Measured: media-chrome is 43 kB compressed, a tenth of
what the page weighs. Revisit when it takes a clock other than that of the element.
Decision: cards and files on their way are morphed by idiomorph (13 kB, on the library alone):
what is alike stays, with menus, focus and pictures.
Decision: lanes, heat maps and cards are drawn in Python, from typed values; scripts hold pointer,
keys and what plays. A timeline zooms by its view box alone, and follows the colours by itself.
Decision: what stands side by side stands in a column (`layout.line`), and all components share one
script: each kind of component is files to load before a page is seen.
Decision: plain modules and CSS without a build step, so that what is installed is what is read.
Decision: text from videos and models is escaped in Python or becomes a text node
(`components/__init__.py`).
"""
