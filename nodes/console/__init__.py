"""The node's console: a page for people on what `seci-node status` says. It changes nothing."""
