"""What is measured: a module for each question, with `measure(report, scale)`. Called by `benchmarks.__main__`."""
