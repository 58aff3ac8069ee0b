"""Measures labkit beside its peers, in real processes, in one run: `make bench`. See README.md."""
