"""Writes findings as sentences, with the numbers behind them."""

from __future__ import annotations

from collections.abc import Sequence

from afina.advice.effects import Effects, Visibility
from afina.advice.evidence import Counts, Row
from afina.advice.failing import FailingRegion
from afina.advice.failing_pairs import FailingPair, FailingPart
from afina.advice.findings import Aim, Findings
from afina.advice.importance import Importances, Share
from afina.advice.ranges import INTERACTING, RangeAdvice, Verdict
from afina.advice.recommendation import Action, Recommendation
from afina.advice.resize import joined
from afina.advice.scales import spans_powers
from afina.space import Choice, Fixed, HyperParameter, Value
from afina.space.parameters import Numerical

MOST_PAIRS = 3

MOST_NAMES = 6
"""At most this many hyperparameters without effect are named in the recommendation."""

MOST_NUMBERS = 12
"""At most this many trials of a front are listed."""


def of_advice(found: Findings) -> str:
    """Four parts: what to do, what was tried, what matters, what to search next."""
    if found.aims:
        return _of_several(found)
    parts = [of_recommendation(found), "", _of_counts(found)]
    if found.importances.shortage is not None:
        return "\n".join([*parts, *of_importances(found.importances, found.counts)])
    parts += of_effects(found.effects)
    parts += ["", "What to search next:", *(f"  {of_range(each)}" for each in found.ranges)]
    if not found.changes:
        parts.append("  No range needs a change.")
    return "\n".join(parts)


def of_recommendation(found: Findings) -> str:
    """What to do next, in a sentence or a few."""
    advised = found.recommendation
    said = [_action(found, advised)]
    said += [_of_failing(each) for each in advised.avoid]
    said += [_of_failing_pair(each) for each in advised.avoid_together]
    if advised.unexplained and advised.action is not Action.MEND:
        more = "more " if advised.avoid or advised.avoid_together else ""
        said.append(
            f"{advised.unexplained} {more}of {found.counts.failed + found.counts.completed} "
            f"trainings failed, and the hyperparameters do not explain it. {_remedy(found.counts)}"
        )
    if advised.idle:
        said.append(_of_idle(found, advised.idle))
    return " ".join(said)


def _of_idle(found: Findings, idle: Sequence[str]) -> str:
    shown = list(idle) if len(idle) <= MOST_NAMES else [*idle[: MOST_NAMES - 1]]
    if len(shown) < len(idle):
        shown.append(f"{len(idle) - len(shown)} others")
    one = len(idle) == 1
    text = f"{_listed(shown)} {'has' if one else 'have'} no visible effect"
    frozen = {each.name for each in found.ranges if each.verdict is Verdict.FREEZE}
    if frozen >= set(idle):
        return f"{text}: one value{'' if one else ' of each'} is enough."
    return f"{text} so far."


def _action(found: Findings, advised: Recommendation) -> str:
    counts, idea = found.counts, advised.action
    if idea in (Action.WIDEN, Action.RESCALE):
        return _of_new_ranges(found)
    if idea is Action.GO_ON and advised.unclear:
        return (
            f"Go on with {SEARCH_AGAIN}: no hyperparameter shows an effect yet, and "
            f"{counts.completed} results are too few to tell an effect from chance."
        )
    if idea is Action.GO_ON:
        likely = "likely" if (advised.chance or 0.0) >= 0.5 else "possible"
        return f"Go on with {SEARCH_AGAIN}: clearly better results are {likely} in this space."
    if idea is Action.REPEAT:
        return (
            "Repeat the best configurations with other seeds (tuner.compare_best) before you "
            "search on: no hyperparameter shows an effect, so the results may differ only by "
            "chance."
        )
    if idea is Action.FINISH and advised.tied:
        return (
            f"Stop here, or change the model or the data: {advised.tied} of {counts.completed} "
            "trials share the best result."
        )
    if idea is Action.FINISH and found.importances.shortage is None:
        return (
            "Stop here, or change the model or the data: a clearly better result is unlikely in "
            f"this space ({_percent(advised.chance or 0.0)}). tuner.compare_best tells whether the "
            "best configurations really differ."
        )
    if idea is Action.MEND and found.importances.shortage is None:
        return (
            f"Fix the failures first: {counts.failed} of {counts.failed + counts.completed} "
            f"trainings failed, and the hyperparameters do not explain it. {_remedy(counts)}"
        )
    return {
        Action.MEND: f"Fix the failures before you search on. {_remedy(counts)}",
        Action.CHECK: "Check the objective before you search on: all results are equal.",
        Action.FINISH: "There is nothing to search: no hyperparameter has more than one value.",
    }.get(idea, "Search on (tuner.search_again): the trials are too few for advice.")


SEARCH_AGAIN = "a model-based search that knows these trials (tuner.search_again)"


def _of_new_ranges(found: Findings) -> str:
    """What to search from now on, where ranges are too small or on the wrong scale."""
    scaled = [each for each in found.ranges if each.verdict is Verdict.RESCALE]
    wider = [each for each in found.ranges if each.widen]
    parts = []
    if scaled:
        parts.append(f"search {_listed([each.name for each in scaled])} on a log scale")
    if wider:
        ranges = [f"{each.name} to {_range(joined(each.before, each.after))}" for each in wider]
        parts.append(f"widen {_listed(ranges)}")
    text = " and ".join(parts)
    text = f"{text[0].upper()}{text[1:]}, then go on with {SEARCH_AGAIN}."
    if wider:
        bounds = "this bound" if len(wider) == 1 else "these bounds"
        return f"{text} Better results may lie beyond {bounds}."
    ends = "its" if len(scaled) == 1 else "their"
    return f"{text} The best values crowd the low end of {ends} range."


def _of_failing(region: FailingRegion) -> str:
    name = _where(region)
    start = f"Avoid {name}" if region.useless else f"Trainings often fail with {name}"
    return (
        f"{start}: {region.failed} of {region.tried} trainings failed there, "
        f"{region.failed_elsewhere} of {region.tried_elsewhere} elsewhere."
    )


def _of_failing_pair(pair: FailingPair) -> str:
    first, second = pair.parts
    return (
        f"Avoid {_where(first)} together with {_where(second)}: {pair.failed} of {pair.tried} "
        f"trainings failed there, {pair.failed_elsewhere} of {pair.tried_elsewhere} elsewhere."
    )


def _where(part: FailingRegion | FailingPart) -> str:
    """The hyperparameter and its values, as in "rate from 0.1 up"."""
    if part.high >= 1 and part.low > 0:
        return f"{part.name} from {_text(part.above)} up"
    if part.low <= 0 and part.high < 1:
        return f"{part.name} up to {_text(part.below)}"
    return f"{part.name} = {_text(part.above)}"


def _of_several(found: Findings) -> str:
    """What is known about each objective, and about the front."""
    parts = [_of_front_first(found), "", _counted(found.counts)]
    if found.front:
        numbers = ", ".join(map(str, found.front[:MOST_NUMBERS]))
        more = len(found.front) - MOST_NUMBERS
        numbers += f" and {more} more" if more > 0 else ""
        parts.append(f"{of_front(len(found.front))}: {numbers}.")
    parts += [of_top(aim) for aim in found.aims]
    for aim in found.aims:
        lines = of_importances(aim.importances, found.counts, f" for {aim.name}")
        parts += lines if len(lines) > 1 else ["", f"{aim.name}: {lines[0]}"]
    return "\n".join([*parts, "", NO_RANGES])


NO_RANGES = (
    "With several objectives there is no advice on ranges: a range that is good for one may be bad "
    "for another."
)


def _of_front_first(found: Findings) -> str:
    """What to do next with several objectives."""
    if not found.front:
        return _action(found, Recommendation(action=Action.MEND))
    if len(found.front) == 1:
        return (
            f"Take trial {found.front[0]}: no other trial is better in any objective. If it is not "
            "good enough, search on (tuner.search_again)."
        )
    return (
        "Choose a trial of the Pareto front: none of them is the best in every objective. If none "
        "suits you, search on (tuner.search_again)."
    )


def of_front(count: int) -> str:
    """How many trials are on the front.

    Example:
        >>> of_front(1)
        'One trial is on the Pareto front (no other trial is better in every objective)'
    """
    who = "One trial is" if count == 1 else f"{count} trials are"
    return f"{who} on the Pareto front (no other trial is better in every objective)"


def of_top(aim: Aim) -> str:
    """The best result in one objective."""
    if aim.top is None or aim.top.loss is None:
        return f"No trial has a result for {aim.name}."
    score = -aim.top.loss if aim.direction == "max" else aim.top.loss
    return f"Best {aim.name}: {score:.6g} (trial {aim.top.number})."


def _counted(counts: Counts) -> str:
    """How many configurations there were, and what became of them."""
    said = [f"{_many(counts.completed + counts.failed, 'configuration')} tried"]
    if counts.failed:
        said.append(f"{counts.failed} of them failed{_reasons(counts)}")
    if counts.shorter:
        said.append(f"{counts.shorter} trained for fewer than {counts.epochs} epochs")
    if counts.outside:
        said.append(f"{counts.outside} more are outside of the space and left out")
    return ", ".join(said) + "."


_REASONS = {
    "error": "an error",
    "not-a-number": "a loss that is not a number",
    "out-of-memory": "too little memory",
    "device-out-of-memory": "too little memory of the GPU or TPU",
    "timeout": "the time limit",
    "oversized": "the limit of the model size",
    "refused": "a refusal by your code",
    "lost-worker": "a lost worker",
}


_READ = "Read their error messages."
_SMALLER = "Search smaller models or batches, or limit the models by max_model_size."
_REMEDIES = {
    "not-a-number": (
        "Their loss is not a number: try lower learning rates or clipnorm=1 in the optimizer, and "
        "check the data for NaN."
    ),
    "out-of-memory": f"They ran out of memory. {_SMALLER}",
    "device-out-of-memory": f"They ran out of memory of the GPU or TPU. {_SMALLER}",
    "timeout": "They reached the time limit: raise trial_timeout, or search smaller models.",
    "oversized": "Their models are too large: raise max_model_size, or search smaller models.",
}


def _remedy(counts: Counts) -> str:
    """What to do about failures; most of them have the same reason, or it is not known."""
    known = sum(count for _, count in counts.reasons)
    if known and 2 * counts.reasons[0][1] > known:
        return _REMEDIES.get(counts.reasons[0][0], _READ)
    return _READ


def _reasons(counts: Counts) -> str:
    """Why trainings failed, as far as it is known."""
    named = [(_REASONS.get(kind, kind), count) for kind, count in counts.reasons]
    if not named:
        return ""
    if len(named) == 1:
        return f" ({named[0][0]})"
    return f" ({', '.join(f'{name}: {count}' for name, count in named)})"


def _of_counts(found: Findings) -> str:
    """The counts, the search's best trial, and the trial of the values below if it is another."""
    text = _counted(found.counts)
    top, best = found.top, found.best
    if top is None or best is None:
        return text
    if top.number == best.number:
        return f"{text} Best: {_score(found, top)} (trial {top.number})."
    after = "" if top.epochs is None else f" after {_many(top.epochs, 'epoch')}"
    whole = "" if best.epochs is None else f" after {_many(best.epochs, 'epoch')}"
    return (
        f"{text} Best: {_score(found, top)}{after} (trial {top.number}). Best{whole}: "
        f"{_score(found, best)} (trial {best.number}); the values below are from this trial."
    )


def _score(found: Findings, row: Row) -> str:
    loss = 0.0 if row.loss is None else row.loss
    return f"{-loss if found.direction == 'max' else loss:.6g}"


def of_effects(effects: Effects) -> list[str]:
    """A line for each hyperparameter, the largest effect first, and one for each interaction."""
    single = sorted(effects.single, key=lambda each: -each.share)
    width = max(len(each.name) for each in single)
    if effects.by_chance:
        lines = ["", "What matters: nothing, as far as these trials show."]
        return lines + [f"  {each.name:<{width}}  {each.visibility.value}" for each in single]
    lines = ["", "What matters (share of the variance over the space, 90 % interval):"]
    for each in single:
        interval = f"{100 * each.low:.0f} to {100 * each.high:.0f} %"
        share = _percent(each.share)
        if each.share < 0.005 and each.visibility is Visibility.MATTERS:
            share = "< 1 %"
        text = f"  {each.name:<{width}}  {share:>5}  ({interval})  {each.visibility.value}"
        text += ", but little" if each.small else ""
        text += ": trainings fail with some values" if each.failing else ""
        lines.append(f"{text}, where {' and '.join(each.conditions)}" if each.conditions else text)
    return lines + [
        f"  {pair.names[0]} and {pair.names[1]} act together: the best value of one depends on "
        f"the other ({_percent(pair.share)} of the variance)"
        for pair in effects.pairs[:MOST_PAIRS]
        if pair.share >= INTERACTING
    ]


def of_importances(found: Importances, counts: Counts, what: str = "") -> list[str]:
    """A line for each hyperparameter; if there is no result, one line that says why.

    Args:
        found: The importances for one objective.
        counts: The counts of the trials.
        what: Text to insert after "What matters", such as " for val_loss".
    """
    if found.shortage is not None:
        return [_of_shortage(found, counts)]
    if found.method == "fanova":
        head = f"What matters{what} (share of the variance of the results, 90 % interval):"
    else:
        head = f"What matters{what} (how far the best tenth differs from all, 90 % interval):"
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
        return "No trial has a result, so nothing can be said about the space."
    if found.shortage == "constant":
        return (
            "All results are equal, so nothing can be said about the space. Is the objective a "
            "number that the hyperparameters can change?"
        )
    if counts.completed < found.needed <= found.configurations:
        has = "has" if counts.completed == 1 else "have"
        return f"Only {counts.completed} {has} a result: too few to say what matters."
    count = found.configurations
    there = "There is 1 configuration" if count == 1 else f"There are {count} configurations"
    return (
        f"{there}; at least {found.needed} are needed to say what matters. "
        "The space stays as it is."
    )


def of_range(each: RangeAdvice) -> str:
    """What to do about one hyperparameter, and why.

    Example:
        >>> from afina.space import Float
        >>> rate = Float("rate", 1e-4, 1.0, sampling="log")
        >>> less = Float("rate", 1e-4, 0.01, sampling="log")
        >>> print(of_range(RangeAdvice(name="rate", conditions=(), verdict=Verdict.NARROW,
        ...     before=rate, after=less, best=0.001, kept=0.5, confidence=0.97, tried=40)))
        rate: narrow to 0.0001 ... 0.01 (was 0.0001 ... 1.0). The rest holds nothing better with a \
probability of 97 %. Best so far: 0.001.
    """
    name = each.name
    if each.conditions:
        name += f" (where {' and '.join(each.conditions)})"
    return " ".join([f"{name}: {_verdict(each)}", *_remarks(each)])


def _verdict(each: RangeAdvice) -> str:
    best = "" if each.best is None else f" Best so far: {_text(each.best)}."
    was = f"(was {_range(each.before)})"
    sure = f"The rest holds nothing better with a probability of {_percent(each.confidence)}.{best}"
    if each.verdict in (Verdict.NARROW, Verdict.DROP):
        if each.confidence == 1:  # no cut by the model, only where trainings fail
            sure = f"Trainings fail with the rest.{best}"
        if each.verdict is Verdict.DROP:
            left = values_of(each.after)
            gone = [_text(v) for v in values_of(each.before) if v not in left]
            return f"drop {', '.join(gone)} (keep {_range(each.after)}). {sure}"
        return f"narrow to {_range(each.after)} {was}. {sure}"
    if each.verdict is Verdict.FREEZE:
        return f"freeze at {_range(each.after)} {was}: its value makes no visible difference."
    if each.verdict is Verdict.LEAVE_OUT:
        return "leave out: none of the remaining values makes it active."
    if each.verdict is Verdict.RESCALE:
        return (
            f'search {_range(each.after)} on a log scale (sampling="log", was linear). The best '
            f"trials lie in the lowest part of the range, where a linear scale tries few values."
            f"{best}"
        )
    if each.verdict is Verdict.WIDEN:
        end = "upper" if each.widen == "high" else "lower"
        lie = "lies" if each.pressed == 1 else "lie"
        rest = ""
        if each.cut < 1:
            percent = _percent(each.cut)
            rest = f" What is cut holds nothing better with a probability of {percent}."
        return (
            f"widen to {_range(each.after)} {was}. Near the {end} bound {lie} {each.pressed} of "
            f"the best {each.pressing} trials and {_percent(each.crowd)} of all; something better "
            f"lies beyond it with a probability of {_percent(each.confidence)}.{rest}{best}"
        )
    return f"keep {_range(each.before)}.{best}"


def values_of(entry: HyperParameter) -> list[Value]:
    """The values of a choice, or the single one."""
    return [entry.value] if isinstance(entry, Fixed) else list(entry.values)


def _remarks(each: RangeAdvice) -> list[str]:
    said = []
    cut = each.verdict in (Verdict.NARROW, Verdict.DROP)
    said += [_of_failing(region) for region in each.failing if not (cut and region.useless)]
    if each.bound is not None:
        end = "upper" if each.bound == "high" else "lower"
        said.append(
            f"The best trial lies {_near(each)} the {end} bound; something better lies beyond it "
            "with a "
            f"probability of {_percent(each.beyond)}."
        )
    if each.verdict is not Verdict.RESCALE and spans_powers(each.before):
        said.append(
            "On a linear scale, few trials lie at the low end of this range: for a learning rate, "
            'a log scale (sampling="log") is better.'
        )
    if each.partners and cut:
        others = " and ".join(each.partners)
        said.append(
            f"It interacts with {others}; the cut removes only values that are poor in any case."
        )
    elif each.partners:
        said.append(f"It interacts with {' and '.join(each.partners)}: do not narrow one alone.")
    if each.gap is not None and each.verdict in (Verdict.KEEP, Verdict.NARROW, Verdict.WIDEN):
        low, high = sorted(each.gap)  # type: ignore[type-var]
        if each.after.contains(low) and each.after.contains(high):
            said.append(f"No trial lies between {_text(low)} and {_text(high)}.")
    if each.untried:
        said.append(f"Never tried: {', '.join(map(_text, each.untried))}.")
    return said


def _near(each: RangeAdvice) -> str:
    """ "at", or "near" where the best value is not the bound itself."""
    ends = (
        (each.before.min_value, each.before.max_value)
        if isinstance(each.before, Numerical)
        else (each.best,)
    )
    return "at" if each.best in ends else "near"


def _listed(names: Sequence[str]) -> str:
    """Names as a list in a sentence."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else list(names))


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
