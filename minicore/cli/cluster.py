"""Connect a command to a Dask cluster, or start one on this machine."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from minicore import __version__
from minicore.errors import MinicoreError
from minicore.runtime.distribution import NAME, require

if TYPE_CHECKING:
    from distributed import Client

SECONDS = 10  # to wait for a scheduler, and for its first worker
QUIET = "distributed.nanny.pre-spawn-environ.DASK_LOGGING__DISTRIBUTED"  # messages of the workers
# A terminal sends Ctrl-C to all processes. The command itself ends its workers.
IGNORE_CTRL_C = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"


@contextlib.contextmanager
def open_cluster(address: str | None, workers: int | None) -> Iterator[Client | None]:
    """Connect to the cluster of ``--cluster`` and ``--workers``, for the time of a block.

    Parameters
    ----------
    address : str or None
        The address of a running scheduler, such as ``tcp://host:8786``.
    workers : int or None
        Start a cluster on this machine with so many processes of one thread each. It ends with the
        block.

    Yields
    ------
    distributed.Client or None
        None if both parameters are None.

    Raises
    ------
    MinicoreError
        If both parameters are given, the extra ``cluster`` is not installed, no scheduler or no
        worker answers at the address, one has another version of minicore, or the workers are lost
        while they compute.
    """
    if address is None and workers is None:
        yield None
        return
    if address is not None and workers is not None:
        raise MinicoreError("--cluster and --workers: choose one of the two")
    option = "--workers" if address is None else "--cluster"
    require(option, "cluster", "distributed")
    from distributed import CancelledError, KilledWorker

    with _local(workers) if workers is not None else _connected(str(address)) as client:
        try:
            yield client
        except KilledWorker as error:
            raise MinicoreError(
                f"{option}: several workers ended while they computed one task, perhaps because "
                f"their memory was full; use fewer workers on each machine, or a smaller "
                f"--batch-size"
            ) from error
        except Exception as error:  # Dask has several for a scheduler that is no longer there
            if client.status == "running" and not isinstance(error, CancelledError):
                raise
            raise MinicoreError(
                f"{option}: the scheduler was stopped or restarted; start it and its workers, and "
                f"run the command again"
            ) from error


@contextlib.contextmanager
def _connected(address: str) -> Iterator[Client]:
    from distributed import Client, TimeoutError
    from distributed.comm.addressing import get_address_host_port

    for name in ("distributed.client", "asyncio"):  # the errors below say it in one line
        logging.getLogger(name).setLevel(logging.CRITICAL)
    full = address if "://" in address else f"tcp://{address}"
    try:
        get_address_host_port(full, strict=True)
        client = Client(full, timeout=SECONDS, set_as_default=False)
    except (OSError, ValueError, MemoryError) as error:  # not an address, or another server
        raise MinicoreError(
            f"--cluster {address}: no Dask scheduler answers; start one with `dask scheduler`, and "
            f"give its address, such as tcp://host:8786"
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=SECONDS)
        except TimeoutError as error:
            raise MinicoreError(
                f"--cluster {address}: the scheduler has no worker; start one on each machine with "
                f"`dask worker {address} --nthreads 1 --memory-limit 0`"
            ) from error
        _require_one_version(client, address)
        yield client


def _require_one_version(client: Client, address: str) -> None:
    """Raise an error unless scheduler and workers have this version of minicore."""
    try:
        found = {client.run_on_scheduler(version, NAME), *client.run(version, NAME).values()}
    except PackageNotFoundError as error:
        raise MinicoreError(
            f"--cluster {address}: {NAME} is not installed on the scheduler or on a worker; "
            f"install {NAME} {__version__} on all machines"
        ) from error
    if found != {__version__}:
        raise MinicoreError(
            f"--cluster {address}: expected {NAME} {__version__} on the scheduler and all workers, "
            f"found {', '.join(sorted(found))}; install one version on all machines"
        )


@contextlib.contextmanager
def _local(workers: int) -> Iterator[Client]:
    import dask.config
    from distributed import Client, LocalCluster, TimeoutError

    with (
        dask.config.set({QUIET: "critical"}),
        tempfile.TemporaryDirectory(prefix="minicore-") as folder,
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            dashboard_address=None,
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},  # any free port: no warning
            silence_logs=logging.CRITICAL,
            local_directory=folder,
            preload=[IGNORE_CTRL_C],
            memory_limit=0,  # by default Dask restarts a worker that needs more than its share
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        try:
            yield client
        finally:  # Dask does not end a worker that begins again at this moment
            with contextlib.suppress(TimeoutError):
                client.wait_for_workers(workers, timeout=SECONDS)
