"""What this machine can do for the lab, and what to do about what it lacks."""
