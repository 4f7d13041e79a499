"""JEAN: joint expression and audio-guided NeRF talking heads.

Importing this package does nothing: no compiling, no downloading, no seeding, and no heavy
library. Import the submodule you need, for example ``jean.clips.clip`` or ``jean.rendering.render``.
"""

__version__ = "0.1.0"
