"""Where trials are trained: each module is one implementation of the Executor protocol."""
