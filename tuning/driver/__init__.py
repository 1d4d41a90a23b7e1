"""The loop: sources propose, an executor trains, listeners are told."""
