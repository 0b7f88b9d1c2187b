"""Side evidence: what the node said of itself beside the captures.

Each source of evidence is one file in `analyzer.evidence.sources`; it recognises its format by content and
yields facts (`analyzer.evidence.facts`), which `collect` puts together.
"""

from analyzer.evidence.collecting import SideEvidence as SideEvidence
from analyzer.evidence.collecting import collect as collect

__all__ = ["SideEvidence", "collect"]
