"""Sphinx settings."""

project = "agentfield-rt"
author = "AgentField RT contributors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_design"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = "agentfield-rt"
exclude_patterns = ["_build"]
autodoc_typehints = "description"
autodoc_member_order = "bysource"
# Signatures name types that have no page of their own: internal ones, and the standard library's.
nitpick_ignore_regex = [("py:.*", r".*")]
# Links from included README files lead to source files.
suppress_warnings = ["misc.highlighting_failure", "myst.xref_missing"]
