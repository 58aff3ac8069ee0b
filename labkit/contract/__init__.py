"""The driver contract: what a lab may expect of a driver, as rules that are tried on it.

Run by `labkit driver test` and by the tests of drivers' authors (`labkit.testing.driver_contract`). `contract` has the
list of rules, `subject` is the driver that they are tried on.
"""
