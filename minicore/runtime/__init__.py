"""What every room needs: threads, progress bars, files, kernels, clock, machine, cache."""
