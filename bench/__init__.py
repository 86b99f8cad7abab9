"""What is measured: the hub and the whole exchange, each beside a bare relay in the same run."""
