"""Distil a teacher's feature maps into the backbone that ships with minicore.

The student is WideResNet50-2 with every width divided by four, cut after layer3. It sees random
crops of photographs and learns, by squared error, the maps a teacher (any ONNX file with outputs
layer1, layer2, layer3) computes for them. No labels, and no image of any anomaly detection data.

    python weights/distill.py --teacher resnet18_l123.onnx --photos photographs/ --out run/

`--resume run/last.pt` goes on where a run stopped; on a finished one it only exports again. Needs
the extra `train`. The package never imports this file.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
from distill_crops import MEAN, STD, Crops, load_photos
from distill_student import LAYERS, NAME, Loss, Student, learn_stem
from distill_teacher import Teacher
from safetensors.torch import save_file
from torch import nn


class Run:
    """Everything a checkpoint holds: student, its moving average, loss, optimiser, position."""

    def __init__(self, args: argparse.Namespace):
        torch.manual_seed(args.seed)
        self.args = args
        train, self.held_out = load_photos(args.photos, args.held_out, args.size)
        print(f"{len(train)} photographs to train on, {len(self.held_out)} held out", flush=True)
        dtype = torch.float32 if args.float32 else torch.bfloat16
        self.crops = Crops(train, args.seed)
        self.teacher = Teacher(args.teacher, args.threads, dtype)
        nhwc = {"memory_format": torch.channels_last}
        self.student = Student().to(**nhwc)
        self.frozen_stem = self.teacher.has_stem and args.stem_steps > 0
        if self.frozen_stem and args.resume:
            for p in (*self.student.conv1.parameters(), *self.student.bn1.parameters()):
                p.requires_grad_(False)  # its weights come with the checkpoint
        elif self.frozen_stem:
            error = learn_stem(self.student, self.teacher, self.crops, args.stem_steps)
            print(f"stem learned, error {error:.4f}", flush=True)
        self.average = copy.deepcopy(self.student)
        probe = [self.teacher(self.crops.batch(32, args.size)) for _ in range(4)]
        self.loss = Loss([torch.cat(t) for t in zip(*probe, strict=True)], args.weights)
        learned = [p for m in (self.student, self.loss) for p in m.parameters() if p.requires_grad]
        kernels, rest = [p for p in learned if p.ndim > 1], [p for p in learned if p.ndim <= 1]
        groups = [{"params": kernels, "weight_decay": 0.01}, {"params": rest, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(groups, lr=args.lr, fused=True)
        self.steps, self.seen, self.seconds, self.log = 0, 0, 0.0, []

    def state(self) -> dict:
        """All of it as one picklable dict."""
        parts = ("student", "average", "loss", "optimiser")
        return {
            **{name: getattr(self, name).state_dict() for name in parts},
            "position": (self.steps, self.seen, self.seconds, self.log),
            "rng": self.crops.rng.bit_generator.state,
        }

    def restore(self, path: Path) -> None:
        """Go on exactly where the checkpoint was written."""
        saved = torch.load(path, weights_only=True)
        for name in ("student", "average", "loss", "optimiser"):
            getattr(self, name).load_state_dict(saved[name])
        self.steps, self.seen, self.seconds, self.log = saved["position"]
        self.crops.rng.bit_generator.state = saved["rng"]

    def progress(self) -> float:
        """Share of the schedule that is done, by crops or (--minutes) by the clock."""
        a = self.args
        return min(self.seconds / 60 / a.minutes if a.minutes else self.seen / a.crops, 1.0)

    def shape(self) -> tuple[int, int]:
        """Crops in a batch, and their side: the same pixels a step, however large the crops."""
        a = self.args
        size = a.final_size if self.progress() >= 1 - a.final_share else a.size
        return max(round(a.batch * (a.size / size) ** 2), 8), size

    def stem(self, student: Student, x: torch.Tensor) -> torch.Tensor:
        """Give the stem's output; a frozen one keeps its statistics and asks for no gradient."""
        if not self.frozen_stem:
            return student.stem(x)
        student.bn1.eval()
        with torch.no_grad():
            return student.stem(x)

    def step(self) -> list[float]:
        """One batch: augment, ask the teacher, learn."""
        a, done = self.args, self.progress()
        n, size = self.shape()
        lr = a.lr * min((self.steps + 1) / 200, 0.5 + 0.5 * math.cos(math.pi * done))
        for group in self.optimiser.param_groups:
            group["lr"] = lr
        # Half the batch is forced at first, none from 70 % on: the student must learn to live
        # with its own maps, and its batch norms with their statistics.
        share = 0.5 * min(max((0.7 - done) / 0.3, 0.0), 1.0)
        x = self.crops.batch(n, size)
        target = self.teacher(x)
        with torch.autocast("cpu", torch.bfloat16, enabled=not a.float32):
            forced = round(share * n) if self.loss.can_force else 0
            maps = self.student(self.stem(self.student, x), target, forced)
        errors = self.loss(maps, target)
        self.optimiser.zero_grad()
        self.loss.total(errors).backward()
        self.optimiser.step()
        self.steps, self.seen = self.steps + 1, self.seen + n
        keep = min(0.999, (1 + self.steps) / (10 + self.steps))
        mean, now = list(self.average.parameters()), list(self.student.parameters())
        with torch.no_grad():
            torch._foreach_lerp_(mean, now, 1 - keep)
        return [float(e.detach()) for e in errors]

    @torch.no_grad()
    def measure(self) -> list[float]:
        """Held-out error of the averaged student, layer by layer, without forcing, in float32."""
        a, student = self.args, self.average
        # Averaged weights need statistics of their own: 32 batches, of the size in training, for
        # the larger the crop, the less of a map is touched by zero padding.
        for m in student.modules():
            if isinstance(m, nn.BatchNorm2d) and not (self.frozen_stem and m is student.bn1):
                m.reset_running_stats()
                m.momentum = None  # a plain mean over the batches
        draws = Crops(self.crops.photos, a.seed + 1)
        student.train()
        for _ in range(32):
            x = draws.batch(*self.shape())
            with torch.autocast("cpu", torch.bfloat16, enabled=not a.float32):
                student(self.stem(student, x))
        student.eval()
        errors = []
        for x in self.held_out.split(10):
            target = self.teacher(x)
            errors.append(torch.stack(self.loss(student(student.stem(x)), target)))
        return torch.stack(errors).mean(0).tolist()


def arrays(run: Run) -> dict[str, torch.Tensor]:
    """Name the averaged student's weights as torchvision does."""
    state = run.average.state_dict()
    return {k: v.contiguous() for k, v in state.items() if "num_batches" not in k}


def export(run: Run, path: Path) -> None:
    """Write the averaged student as safetensors and, by the package's own writer, as ONNX."""
    save_file(arrays(run), path.with_suffix(".safetensors"))
    digest = hashlib.sha256(path.with_suffix(".safetensors").read_bytes()).hexdigest()
    from minicore.backbones.convert.resnet import resnet_to_onnx

    resnet_to_onnx(
        {k: v.numpy() for k, v in arrays(run).items()},
        path,
        name=NAME,
        layers=tuple(LAYERS),
        preprocessing={"resize": 256, "crop": 224, "mean": list(MEAN), "std": list(STD)},
        source=f"weights/distill.py, teacher {run.args.teacher.name}, {run.seen} crops",
        source_sha256=digest,
        licence=run.args.licence,
    )


def keep(run: Run) -> None:
    """Measure, and write a checkpoint and the averaged student of this moment."""
    run.log.append([run.seen, round(run.seconds), *run.measure()])
    print(f"held out: {json.dumps(run.log[-1])}", flush=True)
    save_file(arrays(run), run.args.out / f"student-{run.seen:07d}.safetensors")
    last = run.args.out / "last.pt"
    torch.save(run.state(), last.with_suffix(".part"))
    last.with_suffix(".part").replace(last)  # whole or not at all


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    p = argparse.ArgumentParser(
        description=__doc__.split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    p.add_argument("--teacher", type=Path, required=True, help="ONNX with outputs layer1..layer3")
    p.add_argument("--photos", type=Path, required=True, help="folder of photographs")
    p.add_argument("--out", type=Path, required=True, help="folder for checkpoints and the result")
    p.add_argument("--resume", type=Path, help="go on from this checkpoint")
    p.add_argument("--crops", type=int, default=300_000, help="length of the schedule")
    p.add_argument(
        "--minutes", type=float, help="length by the clock instead; not repeatable to the bit"
    )
    p.add_argument("--batch", type=int, default=32, help="crops a step, at --size")
    p.add_argument("--size", type=int, default=128, help="pixels a side")
    p.add_argument("--final-size", type=int, default=224, help="pixels a side at the end")
    p.add_argument("--final-share", type=float, default=0.1, help="share of the schedule at that")
    p.add_argument("--lr", type=float, default=2e-3, help="peak learning rate (AdamW)")
    p.add_argument("--weights", type=float, nargs=3, default=[1, 1, 1], help="of the three layers")
    p.add_argument(
        "--stem-steps", type=int, default=3000, help="learn the stem first; 0: with all the rest"
    )
    p.add_argument("--licence", default="MIT", help="what to write into the exported file")
    p.add_argument("--held-out", type=int, default=50, help="photographs to measure on")
    p.add_argument("--every", type=int, default=20_000, help="crops between measurements")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--float32", action="store_true", help="no bfloat16 anywhere")
    return p.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Train, measure now and then, export."""
    args = arguments(argv)
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    run = Run(args)
    if args.resume:
        run.restore(args.resume)
    before, start, mark = run.seconds, time.monotonic(), (time.monotonic(), run.seen)
    recent: list[list[float]] = []
    while run.progress() < 1:
        recent.append(run.step())
        now = time.monotonic()
        run.seconds = before + now - start
        if run.steps % 50 == 0:
            rate, mean = (run.seen - mark[1]) / (now - mark[0]), np.mean(recent, axis=0)
            errors = " ".join(f"{e:.3f}" for e in mean)
            print(
                f"{run.seen:8d} crops {run.seconds / 60:6.1f} min {rate:5.1f} crops/s "
                f"{run.progress():4.0%}  error {mean.sum():.3f} = {errors}",
                flush=True,
            )
            mark, recent = (now, run.seen), []
        if run.seen // args.every > len(run.log):
            keep(run)
            mark = (time.monotonic(), run.seen)
    keep(run)
    export(run, args.out / "default.onnx")


if __name__ == "__main__":
    main()
