"""Devices, threads, processes, memory and recorded steps: how all is computed, whatever it is."""
