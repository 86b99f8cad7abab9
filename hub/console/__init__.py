"""The hub's console: a page for operators on what `seci-hub status` and `queues` say. It changes nothing."""
