"""How messages are sealed and proven. Pure functions over bytes; only `crypto.keyfile` touches the disk."""
