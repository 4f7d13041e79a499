"""Reports as single HTML files that embed their videos, images and charts."""
