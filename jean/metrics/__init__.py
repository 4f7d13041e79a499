"""Quality metrics of talking-head videos: one metric per file."""
