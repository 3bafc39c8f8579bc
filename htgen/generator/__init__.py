"""The generator as people use it: its file, what ships, and the way from support images to a CNN."""
