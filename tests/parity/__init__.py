"""Golden cases: numbers of upstream's own code, with random weights, against ours.

A file here that does not start with an underscore or `test_` covers one family:
`recognises(folder) -> bool` by content, and `run(folder) -> Mapping[str, Quantity]`. Nothing
depends on the names, sizes or seeds of the cases.
"""
