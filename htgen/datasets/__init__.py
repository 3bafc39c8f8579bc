"""Data sets: from raw files to a store, and the division of its classes."""
