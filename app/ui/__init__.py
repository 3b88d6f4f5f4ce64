"""The pages: Gradio draws the frame and gives each its address, our own parts live inside.

    frame       what stands around every page: head, logo, navigation
    pages       the table of pages, and Gradio's Blocks made from it
    static/     the parts: tokens.css (colours), shell, player, timeline, one file a page

Decision: every page is one `gr.HTML` whose script mounts a part of ours, and the parts talk to
`/api/v1` alone. Because a citation must seek without a round trip, an ingest must outlive the tab
(Gradio stops a generator when the browser leaves), and one API is then the only thing to guard:
no Gradio event, queue, upload or file route is used, and the gate keeps them shut.
Decision: plain modules and CSS without a build step, so that what is installed is what is read.
Decision: text from videos and models becomes text nodes only; no part writes markup from data.
"""
