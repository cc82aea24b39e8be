"""The programs that `peers.py` compares: each call of this script is one whole process.

    python docs/studies/peers_programs.py PROGRAM JOB

PROGRAM is the name of a function in `PROGRAMS`. JOB is JSON; `peers.py` builds it. `anomalib` and
`minicore` fit on the good images of a category, score its test images, and return paths, scores,
maps and the seconds of both steps. `fpsample` and `fast` pick a coreset of a stored bank. The
result is written to the file `out`. Each program imports only what it needs.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

RESIZE, CROP = 256, 224  # pixels, in both programs
START = 1234  # first pick
Job = dict[str, Any]


def torch_weights(network: str, names: list[str]) -> dict[str, Any]:
    """Return the weights of an ONNX file of minicore, a ResNet, under the names of torch.

    In the file, each batch normalisation is part of the convolution before it. So the batch
    normalisation in torch gets the bias of this convolution and otherwise changes nothing.

    Parameters
    ----------
    network : str
        The ONNX file.
    names : list of str
        The keys of the state of the torch network.
    """
    import onnx
    import torch

    graph = onnx.load(network).graph
    stored = {
        t.name: torch.from_numpy(onnx.numpy_helper.to_array(t).copy()) for t in graph.initializer
    }
    weights = {}
    for name in names:
        layer, kind = name.rsplit(".", 1)
        # torch: conv1 and bn1; downsample.0 and downsample.1. The file: conv1; downsample.
        conv = layer.replace("bn", "conv").replace("downsample.0", "downsample")
        conv = conv.replace("downsample.1", "downsample")
        normalises = "bn" in layer or layer.endswith("downsample.1")
        bias = stored[f"{conv}.bias"]
        if not normalises:
            weights[name] = stored[name.replace("downsample.0", "downsample")]
        elif kind == "bias":
            weights[name] = bias
        elif kind == "running_mean":
            weights[name] = torch.zeros_like(bias)
        elif kind == "running_var":
            weights[name] = torch.ones_like(bias) - 1e-5  # batch normalisation adds 1e-5
        elif kind == "weight":
            weights[name] = torch.ones_like(bias)
        else:
            weights[name] = torch.tensor(0)  # number of batches seen: not used
    return weights


def anomalib_model(job: Job) -> Any:
    """Return PatchCore of anomalib with the weights of the ONNX file, without a threshold."""
    from anomalib.models import Patchcore

    model = Patchcore(
        backbone=job["architecture"],
        layers=("layer2", "layer3"),
        pre_trained=False,
        coreset_sampling_ratio=job["ratio"],
        num_neighbors=9,
        pre_processor=Patchcore.configure_pre_processor((RESIZE, RESIZE), (CROP, CROP)),
        post_processor=False,
        evaluator=False,
        visualizer=False,
    )
    network = model.model.feature_extractor.feature_extractor
    network.load_state_dict(torch_weights(job["network"], list(network.state_dict())))
    return model


def limit_picks(picks: int | None) -> list[float]:
    """Stop the coreset selection of anomalib after some picks, and fill up with the first rows.

    Every pick takes the same time: it reads all rows. None: all picks.

    Returns
    -------
    list
        Empty; after the fit of an incomplete selection it contains the number of picks and their
        seconds.
    """
    from anomalib.models.components.sampling.k_center_greedy import KCenterGreedy

    measured: list[float] = []
    select = KCenterGreedy.select_coreset_idxs

    def some(self: Any) -> list[int]:
        size = self.coreset_size
        if picks is None or picks >= size:
            return select(self)
        self.coreset_size = picks
        begin = time.perf_counter(), time.process_time()
        rows = select(self)
        measured[:] = picks, time.perf_counter() - begin[0], time.process_time() - begin[1]
        return rows + list(range(size - picks))

    KCenterGreedy.select_coreset_idxs = some
    return measured


def anomalib(job: Job) -> dict[str, Any]:
    """Fit and score with anomalib, through its engine and its data module."""
    import torch
    from anomalib.data import MVTecAD
    from anomalib.engine import Engine
    from lightning import seed_everything

    torch.set_num_threads(job["threads"])
    seed_everything(0)
    selection = limit_picks(job["picks"])
    data = MVTecAD(job["folder"], job["category"], num_workers=0)
    data.setup()
    with tempfile.TemporaryDirectory() as folder:
        engine = Engine(
            default_root_dir=folder, accelerator="cpu", logger=False, enable_progress_bar=False
        )
        model = anomalib_model(job)
        begin = time.perf_counter()
        engine.fit(model, train_dataloaders=data.train_dataloader())
        fitted = time.perf_counter()
        batches = engine.predict(model, dataloaders=data.test_dataloader())
        end = time.perf_counter()
    return {
        "paths": [path for batch in batches for path in batch.image_path],
        "scores": torch.cat([batch.pred_score.flatten() for batch in batches]).numpy(),
        "maps": torch.cat([batch.anomaly_map.flatten(0, -3) for batch in batches]).numpy(),
        "seconds": [fitted - begin, end - fitted],
        "rows": len(model.model.memory_bank),
        "selection": selection,
    }


def minicore(job: Job) -> dict[str, Any]:
    """Fit and score with minicore, without a threshold unless the job has a rate for it."""
    from minicore import Backbone, PatchCore, datasets

    data = datasets.mvtec(job["folder"], job["category"])
    network = Backbone(job["network"], threads=job["threads"], resize=RESIZE, crop=CROP)
    model = PatchCore(
        network, "concat", job["ratio"], seed=0, n_threads=job["threads"], progress=False,
        false_positive_rate=job["false_positive_rate"],
    )  # fmt: skip
    begin = time.perf_counter()
    model.fit(data.train)
    fitted = time.perf_counter()
    found = model.detect(data.test)
    end = time.perf_counter()
    return {
        "paths": [str(path) for path in data.test],
        "scores": found.scores,
        "maps": found.maps,
        "seconds": [fitted - begin, end - fitted],
        "rows": model.bank_rows_,
        "selection": [],
    }


def same_scores(job: Job) -> dict[str, Any]:
    """Compare the scores of both programs for one coreset: that of minicore for 20 images.

    Each program reads, prepares and scores eight images itself.
    """
    import torch
    from anomalib.data.utils import read_image

    from minicore import Backbone, PatchCore, datasets

    data = datasets.mvtec(job["folder"], job["category"])
    network = Backbone(job["network"], threads=job["threads"], resize=RESIZE, crop=CROP)
    ours = PatchCore(network, "concat", 0.1, false_positive_rate=None, progress=False)
    ours.fit(data.train[:20])
    theirs = anomalib_model({**job, "ratio": 0.1}).eval()
    theirs.model.memory_bank = torch.from_numpy(ours.memory_bank_.copy())
    images = torch.stack([read_image(path, as_tensor=True) for path in data.test[:8]])
    found = theirs.model(theirs.pre_processor.transform(images)).pred_score.flatten().numpy()
    expected = ours.anomaly_score(data.test[:8])
    return {"error": (np.abs(found - expected) / expected).max()}


def projected_bank(job: Job) -> dict[str, Any]:
    """Return the bank of all patches, projected to 128 dimensions, (N, 128) float32."""
    from minicore import Backbone, PatchCore, datasets
    from minicore.patchcore.selection import project

    network = Backbone(job["network"], threads=job["threads"], resize=RESIZE, crop=CROP)
    every = PatchCore(
        network, coreset_ratio=1.0, selection="random", false_positive_rate=None, progress=False
    ).fit(datasets.mvtec(job["folder"], job["category"]).train)
    M = np.empty_like(every.memory_bank_)
    M[every.coreset_indices_] = every.memory_bank_
    return {"bank": project(M, every.config_)}


def fast(job: Job) -> dict[str, Any]:
    """Pick the coreset of a stored bank with minicore."""
    from minicore.fast import greedy_coreset
    from minicore.runtime.threads import limit

    with limit(job["threads"]):
        return timed_picks(job, lambda bank, l: greedy_coreset(bank, l, START))


def fpsample(job: Job) -> dict[str, Any]:
    """Pick the coreset of a stored bank with fpsample.

    Its two methods with a tree refuse more than 8 dimensions, so this is the plain loop.
    """
    from fpsample import fps_sampling

    return timed_picks(job, lambda bank, l: fps_sampling(bank, l, start_idx=START))


def timed_picks(job: Job, pick: Callable[[np.ndarray, int], np.ndarray]) -> dict[str, Any]:
    """Return the picks of a method, and its seconds on the clock and of all processors."""
    bank = np.load(job["bank"])["bank"]
    pick(bank[:2000], 20)  # the first call may load compiled code
    wall, cpu = time.perf_counter(), time.process_time()
    picks = pick(bank, round(job["ratio"] * len(bank)))
    seconds = [time.perf_counter() - wall, time.process_time() - cpu]
    return {"picks": picks.astype(np.int64), "seconds": seconds, "shape": bank.shape}


PROGRAMS = {
    program.__name__: program
    for program in (anomalib, minicore, same_scores, projected_bank, fast, fpsample)
}

if __name__ == "__main__":
    job = json.loads(sys.argv[2])
    np.savez(Path(job["out"]), **PROGRAMS[sys.argv[1]](job))
