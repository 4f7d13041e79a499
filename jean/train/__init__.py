"""One loop, one checkpoint format, one file a stage."""
