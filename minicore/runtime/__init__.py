"""Tools that every room uses: threads, progress bars, files, kernels, clock, machine, cache."""
