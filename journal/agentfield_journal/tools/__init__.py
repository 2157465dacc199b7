"""What an operator or auditor does with a journal; the command line is a thin layer over these."""

from agentfield_journal.tools.analysis import Stats, export_json_lines, export_parquet, measure
from agentfield_journal.tools.exchange import export_run, import_run, verify_export
from agentfield_journal.tools.upgrade import upgrade_journal
from agentfield_journal.tools.verify_path import verify_path

__all__ = [
    "Stats",
    "export_json_lines",
    "export_parquet",
    "export_run",
    "import_run",
    "measure",
    "upgrade_journal",
    "verify_export",
    "verify_path",
]
