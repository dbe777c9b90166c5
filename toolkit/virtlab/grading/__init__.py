"""From a program to points: one run, its criteria, a rubric's marks, and the folder of results.

`run` ties host, clock and process together and records a timeline; `criteria` judge timelines;
`marks` turn results into points; `store` keeps it all; `grade`, `single` and `rejudge` are what
the command line calls.
"""
