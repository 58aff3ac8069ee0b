"""What the twins of the bundled drivers share: their programs, control channels and wires. No plugin itself."""
