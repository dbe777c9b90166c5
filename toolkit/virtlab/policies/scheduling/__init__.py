"""Policies that decide on which pCPUs vCPUs may run; one module each."""
