"""How the exchange is started: on a developer's machine (local/) and at a centre or focal point."""
