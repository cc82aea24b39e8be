"""Fit and score over the workers of a Dask cluster: the results of one machine.

`cluster_fit`    fits a model (`image_part`: the part of the memory bank on a worker)
`cluster_score`  scores images (`shards`: with a memory bank that is divided among the workers)
`on_worker`      what a task on a worker needs
"""
