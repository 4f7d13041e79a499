"""Lip sync: SyncNet's LSE-C and LSE-D, and the distance of the project's own embeddings."""
