"""The distance between the simulated host and a real one: the same programs on both."""
