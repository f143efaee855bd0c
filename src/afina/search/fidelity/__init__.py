"""Trainings that begin short: rungs, brackets, and what results of short trainings say."""
