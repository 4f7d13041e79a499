"""The ``jean`` command: reads options, calls one library function, prints the result."""
