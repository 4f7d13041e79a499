"""The ``jean`` command: parses options, calls one library function, prints the result."""
