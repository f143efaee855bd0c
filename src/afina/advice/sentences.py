"""Advice as sentences, with the numbers behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from afina.advice.evidence import Counts
from afina.advice.importance import Importances, Share
from afina.advice.ranges import RangeAdvice, Verdict
from afina.space import Choice, Fixed, HyperParameter, Value
from afina.space.parameters import Numerical

if TYPE_CHECKING:
    from afina.advice.advise import Advice

MOST_PAIRS = 3


def of_advice(advice: Advice) -> str:
    """All of it, in three parts: what there is, what matters, what to search next."""
    parts = [_of_counts(advice), *_of_importances(advice.importances, advice.counts)]
    if advice.importances.shortage is None:
        parts += ["", "What to search next:", *(f"  {of_range(each)}" for each in advice.ranges)]
        gone = _gone(advice)
        if gone:
            parts.append(
                f"  {', '.join(gone)}: left out, as no value that is kept makes it active."
            )
        if not advice.changes:
            parts.append("  Nothing speaks for a change: search on in the same space.")
    return "\n".join(parts)


def _of_counts(advice: Advice) -> str:
    counts = advice.counts
    said = [f"{_many(counts.completed + counts.failed, 'configuration')} tried"]
    if counts.failed:
        said.append(f"{counts.failed} of them failed")
    if counts.shorter:
        said.append(f"{counts.shorter} trained for fewer than {counts.epochs} epochs")
    if counts.outside:
        said.append(f"{counts.outside} more lie outside of the space and are left out")
    text = ", ".join(said) + "."
    if advice.best is not None and advice.best.loss is not None:
        loss = advice.best.loss
        score = -loss if advice.direction == "max" else loss
        which = "Best of the others" if counts.shorter else "Best"
        text += f" {which}: {score:.6g} (trial {advice.best.number})."
    return text


def _of_importances(found: Importances, counts: Counts) -> list[str]:
    if found.shortage is not None:
        return [_of_shortage(found, counts)]
    if found.method == "fanova":
        head = "What matters (part of the variance of the results, 90 % interval):"
    else:
        head = "What matters (how far the best tenth differs from all, 90 % interval):"
    width = max(len(share.names[0]) for share in found.single)
    lines = ["", head, *(_of_share(share, width) for share in found.single)]
    pairs = [pair for pair in found.pairs if pair.clear][:MOST_PAIRS]
    lines += [
        f"  {pair.names[0]} and {pair.names[1]} act together: {_percent(pair.share)} beyond what "
        f"each does alone ({_interval(pair)})"
        for pair in pairs
    ]
    return lines


def _of_share(share: Share, width: int) -> str:
    text = f"  {share.names[0]:<{width}}  {_percent(share.share):>5}  ({_interval(share)})"
    if share.conditions:
        text += f"  where {' and '.join(share.conditions)}"
    return text if share.clear else f"{text}  not above chance"


def _of_shortage(found: Importances, counts: Counts) -> str:
    if found.shortage == "nothing-varies":
        return "No hyperparameter has more than one value: there is nothing to advise on."
    if found.shortage == "all-failed":
        return (
            "No trial has a result, so nothing can be said about the space. Read why the trials "
            "failed, and mend that first."
        )
    if found.shortage == "constant":
        return (
            "All results are equal, so nothing can be said about the space. Is the objective a "
            "number that the hyperparameters can change?"
        )
    if counts.completed < found.needed <= found.configurations:
        has = "has" if counts.completed == 1 else "have"
        return f"Only {counts.completed} {has} a result: too few to say what matters."
    return (
        f"To say what matters takes at least {found.needed} configurations, and there are "
        f"{found.configurations}. The space is left as it is."
    )


def of_range(each: RangeAdvice) -> str:
    """What to do about one hyperparameter, and why.

    Example:
        >>> from afina.space import Float
        >>> rate = Float("rate", 1e-4, 1.0, sampling="log")
        >>> less = Float("rate", 1e-4, 0.01, sampling="log")
        >>> print(of_range(RangeAdvice(name="rate", conditions=(), verdict=Verdict.NARROW,
        ...     before=rate, after=less, best=0.001, kept=0.5, confidence=0.97, tried=40)))
        rate: narrow to 0.0001 ... 0.01 (was 0.0001 ... 1.0). The model expects 97 % of the good \
configurations there; best so far: 0.001.
    """
    name = each.name
    if each.conditions:
        name += f" (where {' and '.join(each.conditions)})"
    return " ".join([f"{name}: {_verdict(each)}", *_remarks(each)])


def _verdict(each: RangeAdvice) -> str:
    best = "" if each.best is None else f"; best so far: {_text(each.best)}"
    was = f"(was {_range(each.before)})"
    expects = (
        f"The model expects {_percent(each.confidence)} of the good configurations there{best}."
    )
    if each.verdict is Verdict.NARROW:
        return f"narrow to {_range(each.after)} {was}. {expects}"
    if each.verdict is Verdict.DROP:
        return f"keep {_range(each.after)} {was}: the others do not win. {expects}"
    if each.verdict is Verdict.FREEZE:
        return f"freeze at {_range(each.after)} {was}: its value makes no difference."
    if each.verdict is Verdict.WIDEN:
        end = "upper" if each.widen == "high" else "lower"
        return (
            f"widen to {_range(each.after)} {was}. {each.pressed} of the best {each.pressing} "
            f"trials press against the {end} bound{best}."
        )
    return f"keep {_range(each.before)}{best}."


def _remarks(each: RangeAdvice) -> list[str]:
    said = []
    if each.partners and each.verdict in (Verdict.NARROW, Verdict.DROP):
        others = " and ".join(each.partners)
        said.append(f"It acts together with {others}: cut only what is poor whatever that is.")
    elif each.partners:
        said.append(
            f"It acts together with {' and '.join(each.partners)}: do not narrow one alone."
        )
    if each.gap is not None:
        low, high = sorted(each.gap)  # type: ignore[type-var]
        said.append(f"No trial lies between {_text(low)} and {_text(high)}.")
    if each.untried:
        said.append(f"Never tried: {', '.join(map(_text, each.untried))}.")
    return said


def _gone(advice: Advice) -> list[str]:
    left = {(entry.name, entry.conditions) for entry in advice.after}
    return [e.name for e in advice.before if (e.name, e.conditions) not in left]


def _range(entry: HyperParameter) -> str:
    if isinstance(entry, Numerical):
        return f"{_text(entry.min_value)} ... {_text(entry.max_value)}"
    if isinstance(entry, Fixed):
        return _text(entry.value)
    values = list(entry.values)
    if isinstance(entry, Choice) and entry.ordered:
        values.sort()
    return ", ".join(map(_text, values))


def _text(value: Value) -> str:
    if isinstance(value, float) and value:
        return f"{value:.4g}" if f"{value:.4g}" != f"{value:.0f}" else repr(value)
    return repr(value)


def _interval(share: Share) -> str:
    return f"{100 * share.low:.0f} to {100 * share.high:.0f} %"


def _percent(part: float) -> str:
    return f"{100 * part:.0f} %"


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
