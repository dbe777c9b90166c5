"""The host in virtual time: pure, deterministic, driven by events.

`engine` orders events; `cpu_law` and `scheduler` share pCPUs; `memory_sizes` and `host_memory` keep
the books on memory, and `guest_memory` moves it; `guest` and `host` put them together. A new law
goes into the file of what it rules, with its source in the docstring.
"""
