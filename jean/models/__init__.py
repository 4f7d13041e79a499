"""Networks, each built from plain keyword values."""
