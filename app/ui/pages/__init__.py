"""Pages in Python, one file each: `build(context, blocks)` draws the page and wires its events."""
