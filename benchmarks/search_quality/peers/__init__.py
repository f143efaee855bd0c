"""Every search that takes part, each wrapped as a `simulate.Contestant`; one file a package."""
