"""Independent items of work on this machine or on a Ray cluster, behind one interface (``base.Engine``)."""
