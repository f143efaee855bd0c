"""What the trials of a search teach: which hyperparameters matter, and what to search next."""

from afina.advice.advise import Advice, Aim, advice
from afina.advice.carry import carry_over
from afina.advice.importance import Importances, Share, importance
from afina.advice.narrowing import Narrowing
from afina.advice.ranges import RangeAdvice, Verdict

__all__ = [
    "Advice",
    "Aim",
    "Importances",
    "Narrowing",
    "RangeAdvice",
    "Share",
    "Verdict",
    "advice",
    "carry_over",
    "importance",
]
