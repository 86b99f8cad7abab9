"""The message kinds, one module per domain. `schemas.registry` lists them."""
