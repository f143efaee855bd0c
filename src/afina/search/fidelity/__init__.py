"""Short trainings: which epochs they stop at, and what their results say about longer ones.

    epochs     1      3      9      27
    rung       0      1      2      3        brackets.py: rungs and their sizes
    trial 0    |------|------|------|        three promotions; each part is a Segment of rungs.py
    trial 1    |------|                      promoted once, then paused
    trial 2    |--x                          stopped early: curves.py

A *rung* is a number of epochs at which trainings pause. A *promotion* is a new trial that trains a
paused one further; each trial is one *segment* of its training. `RungHistory` holds all segments.
*Fidelity* is how far a training has come: 0 at the lowest rung, 1 in full, on a log scale.

`pareto_rank.py` orders the trials of a rung by several objectives. `rung_process.py` is a Gaussian
process over configurations and fidelities; `rung_model.py` applies it to a search.
"""
