"""Training a generator: the loop, its steps, and what a run leaves in its folder."""
