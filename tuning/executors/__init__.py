"""Executors: worker processes on this machine, a Ray cluster, or a simulation in virtual time."""
