"""A program under test: unpack it, build it, put it into a sandbox and under the virtual clock."""
