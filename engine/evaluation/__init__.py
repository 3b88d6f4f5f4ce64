"""How right, how fast, how large: measures, and what walks them.

*Decision*: speeds are measured on a running engine and returned as records, not printed. *Because*
the same numbers go to the bench's file, the README's table and a test's assertion.
"""
