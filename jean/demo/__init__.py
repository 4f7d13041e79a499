"""The whole way on a synthetic speaker, with no download: corpus → prepare → train → render → evaluate → report."""

from jean.demo.plan import DemoConfig
from jean.demo.run import run_demo

__all__ = ["DemoConfig", "run_demo"]
