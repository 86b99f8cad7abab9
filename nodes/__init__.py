"""The focal point's agent: it seals, sends, receives, opens and acknowledges, and proves what it did."""

from typing import Final

PROGRAM: Final = "seci-node"
