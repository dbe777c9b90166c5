"""The host in virtual time: pure, deterministic, driven by events.

`engine` orders events; `cpu_law` and `scheduler` share pCPUs, `guest_memory` and `host_memory` keep
the books on memory; `guest` and `host` put them together. A new law goes into the file of what it
rules, with its source in the docstring.
"""
