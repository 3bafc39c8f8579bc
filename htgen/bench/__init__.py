"""`htgen bench`: how fast all is, beside counted work."""
