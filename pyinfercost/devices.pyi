from ._core import Plan as Plan
from .predict.collectives import ExpertTokens as ExpertTokens
from .predict.collectives import collective as collective
from .predict.plans import WeightShare as WeightShare
from .predict.plans import weight_shares as weight_shares
from .predict.stages import rank_graph as rank_graph
