"""Timings, each as a ratio inside one run."""
