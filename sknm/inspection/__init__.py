"""What fitted models have learned; nothing of the package needs it."""

from sknm.inspection.layers import LayersDisplay
from sknm.inspection.module_map import ModuleMapDisplay
from sknm.inspection.report import topology_report
from sknm.inspection.topology import TopologyDisplay

__all__ = [
    "LayersDisplay",
    "ModuleMapDisplay",
    "TopologyDisplay",
    "topology_report",
]
