"""Scheduling and coordination algorithms: pure functions from a snapshot to a plan.

A policy's file bears its registered name, with `_` for `-`, and opens with the lesson: idea,
formula, cost, weak spot, source. `registry` lists them all.
"""
