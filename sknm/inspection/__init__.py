"""What fitted models have learned; nothing of the package needs it."""

from sknm.inspection.report import topology_report

__all__ = ["topology_report"]
