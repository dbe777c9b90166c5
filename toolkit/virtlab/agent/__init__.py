"""The loop that runs a policy against a host: sense, decide, act."""
