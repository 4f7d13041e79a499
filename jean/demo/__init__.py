"""The demo: every stage of the project on a synthetic speaker, without downloads."""
