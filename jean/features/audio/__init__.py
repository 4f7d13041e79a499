"""Audio features, one extractor per file."""
