"""The focal point's agent: it seals, sends, receives, opens and acknowledges, and proves what it did."""
