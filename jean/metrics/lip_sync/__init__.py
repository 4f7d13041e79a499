"""Lip-sync metrics: SyncNet's LSE-C and LSE-D, and the similarity of the project's own embeddings."""
