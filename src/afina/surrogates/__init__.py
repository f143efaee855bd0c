"""Models of results: what finished trials say about configurations that nobody has tried.

    losses ----targets----> targets ----+
                                        +----> GaussianProcess ----> Acquisition ----> maximise
    configurations --Geometry--> features          (fit)             (its worth)       (best points)
         ^                                                                                  |
         +------------------------------- decode -------------------------------------------+

- `geometry.py`: a search space as points of the unit cube, their distances, and moves among them.
- `targets.py`, `warped_process.py`: losses on a scale that a Gaussian process can model.
- `covariance.py`, `gaussian_process.py`, `likely_kernels.py`: the process, and how it is fitted.
- `acquisition.py`, `hypervolume_improvement.py`: what a candidate is worth, and the search for the
  best candidate.
- `parzen.py`, `bandwidths.py`: densities of configurations, for TPE and CMA-ES.
- `subset.py`, `memo.py`, `distances.py`, `threads.py`: which results a model looks at, a cache for
  fits, and fast arithmetic.

`afina.search` uses these models to choose trials, `afina.advice` to explain results. They know
nothing of trials, stores or Keras; the cost of a fit grows with the cube of the number of results.
"""
