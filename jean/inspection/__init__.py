"""Pictures of what a run learned: curves, embeddings, strips."""
