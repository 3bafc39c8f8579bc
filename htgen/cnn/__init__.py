"""CNNs that were generated: shapes, what runs them, their file, and programs that they are exported as."""
