"""Foreign media in a confined child process.

reader    frames and sound of a file, as the engine's readers give them
live      frames and recorded bytes of a camera, as they come
channel   the parent's end of the pipe: every answer is checked as foreign
child     what runs in the child process
confine   limits on memory, time, files and network that the child takes on itself
"""
