"""The command line: each command parses its arguments, calls a room, and prints what it gets.

A new command is a function in a file named after it, registered in `main`. Heavy imports stand
inside the functions: `virtlab --help` and completion must answer at once.
"""
