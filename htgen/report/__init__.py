"""Reports: pages of one file that show what a CNN was made of, what it sees, and what it answers."""
