"""The use cases, one function each: every rule has its one home here.

Routes, commands and pages call these and translate; nothing here knows a web request or a terminal.
"""
