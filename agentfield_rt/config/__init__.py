"""Settings of a control plane: from code, the environment, files of secrets and a configuration file."""

from agentfield_rt.config.settings import Settings

__all__ = ["Settings"]
