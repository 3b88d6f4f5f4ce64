"""One file, one benchmark: `questions(root)` over a local copy of its data, and `score`."""
