"""How a control plane is watched and stopped: logs, metrics, traces, health, draining. It decides no call."""
