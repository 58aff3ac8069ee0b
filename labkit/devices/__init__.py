"""Devices: declarations, the catalog of a host, reservations of benches, and proxies."""
