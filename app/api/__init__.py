"""Routes to service calls, one file a group; errors to status codes.

    desk       what every route is given: the service, who asks, and the lane of the model
    videos     the library, timelines, exports; library_page has its cursors
    asking     questions and searches, streamed or whole; conversations
    probing    needle runs
    needles    pictures of the user's own to plant in them
    people     session, users, tokens, jobs, what leaves this machine
    configuring  settings that may be changed on a page
    openai     /v1/chat/completions

Decision: the pages have no private routes: whatever they show comes from `/api/v1`, so that a
script can do what a page can, and one table of tests holds who may do it.
"""
