"""What the trials of a search teach: which hyperparameters matter, and what to search next.

    trials --evidence--> sample --+--> importance (fanova, ped_anova)   shares of the variance
                                  |
                                  +--> belief --+--> effects            which ones matter
                                  |   (kernels, |
                                  |   functions)+--> box, claims --+
                                  |                                +--> ranges --> recommendation
                                  +--> failing, failing_pairs -----+

`effects` explains, `ranges` cuts, and only what `effects` or `failing` shows clearly is cut.
`advice` (advise.py) runs all of it and returns `Findings`: plain data. `sentences.py` and `code.py`
draw them as text and as Python. `Narrowing` applies the advice during a search, and `carry_over`
takes old trials to the next one. `learning.py`, `judgement.py`, `spread.py` and `classification.py`
describe the final model.
"""

from afina.advice.advise import Advice, advice
from afina.advice.carry import carry_over
from afina.advice.effects import Effect, Effects, Interaction, Visibility
from afina.advice.failing import FailingRegion
from afina.advice.failing_pairs import FailingPair, FailingPart
from afina.advice.findings import Aim
from afina.advice.importance import Importances, Share, importance
from afina.advice.narrowing import Narrowing
from afina.advice.ranges import RangeAdvice, Verdict
from afina.advice.recommendation import Action, Recommendation

__all__ = [
    "Action",
    "Advice",
    "Aim",
    "Effect",
    "Effects",
    "FailingPair",
    "FailingPart",
    "FailingRegion",
    "Importances",
    "Interaction",
    "Narrowing",
    "RangeAdvice",
    "Recommendation",
    "Share",
    "Verdict",
    "Visibility",
    "advice",
    "carry_over",
    "importance",
]
