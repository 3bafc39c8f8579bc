"""How right a generator is on unseen classes, and what is measured after training: PLDA and temperatures."""
