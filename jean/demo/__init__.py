"""The demo: every stage of the project on a synthetic speaker, without downloads."""

from jean.demo.demo_clips import DemoConfig
from jean.demo.run import run_demo

__all__ = ["DemoConfig", "run_demo"]
