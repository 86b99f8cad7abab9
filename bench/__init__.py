"""What is measured: the hub and the whole exchange, each beside a bare relay or itself in the same run."""
