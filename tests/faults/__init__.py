"""The fault suite: what may go wrong, by row, with real commands in real processes. ``make faults`` runs all of it."""
