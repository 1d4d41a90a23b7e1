"""Who trains: processes on this machine, a Ray cluster, or nobody in virtual time."""
