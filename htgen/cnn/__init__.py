"""CNNs that were generated: shapes, what runs them, their file, and the programs that they are exported as."""
