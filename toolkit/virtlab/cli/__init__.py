"""The command line: each command parses its arguments, calls a room, and prints what it gets.

A new command is a function in a file named after it, registered in `app`. Heavy imports stand
inside the functions: `virtlab --help` and completion must answer at once.
"""

import gc

# A command makes few cycles and most end soon; to look for them took 7 to 12 % of its time.
gc.set_threshold(100_000)
