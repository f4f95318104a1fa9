"""The commands of `unicode-cmg`, one module a group; each only declares options. `cli.py` puts them together.

What a command needs is imported inside it, so that `unicode-cmg --help` loads neither torch nor NumPy.
"""
