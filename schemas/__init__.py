"""What can be said on the SECI Exchange: pydantic models and codes. Imports no other room and does no I/O."""
