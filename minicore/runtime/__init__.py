"""Tools that all packages use: threads, progress bars, files, kernels, clock, machine, cache."""
