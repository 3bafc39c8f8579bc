"""Kills, full disks, damaged and hostile files: what htgen does with them. `make faults` runs all of it."""
