"""Can the tests fail? Small faults are planted in the code that matters, and counted if noticed.

    python -m tests.mutants [AREA...] [--each N] [--seed N]      (make mutants)

Cosmic Ray draws the faults (a comparison turned round, a number off by one, a condition negated);
for each, the tests of its area run in a copy of the tree. A fault that they miss is printed as a
diff: either it changes nothing that matters, or a test is missing.
"""
