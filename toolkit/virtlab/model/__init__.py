"""Plain values with units that travel between the rooms; imports nothing of ours."""
