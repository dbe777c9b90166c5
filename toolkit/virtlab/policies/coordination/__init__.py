"""Policies that decide how much memory each guest has; one module each."""
