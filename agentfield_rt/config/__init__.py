"""Settings of a control plane: from code, the environment, files of secrets and a configuration file."""

from agentfield_rt.config.settings import Settings
from agentfield_rt.config.sources import UnusableSource, origins, variable_of

__all__ = ["Settings", "UnusableSource", "origins", "variable_of"]
