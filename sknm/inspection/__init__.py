"""What fitted models have learned; nothing of the package needs it."""

from sknm.inspection.coactivation import CoactivationDisplay
from sknm.inspection.contributions import ModuleContributionDisplay
from sknm.inspection.evolution import EvolutionDisplay
from sknm.inspection.layers import LayersDisplay
from sknm.inspection.learning import LearningDisplay
from sknm.inspection.module_map import ModuleMapDisplay
from sknm.inspection.report import topology_report
from sknm.inspection.scorers import largest_share_scorer, n_modules_scorer
from sknm.inspection.topology import TopologyDisplay
from sknm.inspection.trade_off import TradeOffDisplay

__all__ = [
    "CoactivationDisplay",
    "EvolutionDisplay",
    "LayersDisplay",
    "LearningDisplay",
    "ModuleContributionDisplay",
    "ModuleMapDisplay",
    "TopologyDisplay",
    "TradeOffDisplay",
    "largest_share_scorer",
    "n_modules_scorer",
    "topology_report",
]
