"""Observers: one file states one kind of fact about footage.

Decision: rows may be stated again while a track is open, because a car that is parked for a day
must be known before it leaves; a track's number says which row it replaces.
Decision: confidences are kept as the models give them, with the frames that show a thing and the
frames that were looked at, because a lone detector is wrong at 1.00 and a second witness has to
judge; nothing here says "yes".
"""
