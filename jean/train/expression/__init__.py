"""Training of the expression transformer of one person (section 3.2, Eqs. 3 and 4)."""
