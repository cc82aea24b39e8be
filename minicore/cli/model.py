"""Build the model that the options of ``fit``, ``evaluate`` and ``demo`` describe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from minicore.cli.options import BankStorage, Combination, Embedding, Engine
from minicore.errors import MinicoreError

if TYPE_CHECKING:
    from minicore.patchcore.ensemble import Ensemble
    from minicore.patchcore.estimator import PatchCore


def new_model(
    *,
    backbone: Any,
    embedding: Embedding,
    coreset: float,
    seed: int,
    engine: Engine,
    threads: int | None,
    batch_size: int,
    ensemble: Combination = "features",
    layers: str | None = None,
    resize: str | None = None,
    crop: str | None = None,
    bank_storage: BankStorage = "float32",
    **options: Any,
) -> PatchCore | Ensemble:
    """Return an unfitted model.

    Parameters
    ----------
    backbone : Backbone, str, list of str or None
        One network or several. None means the default network.
    ensemble : {"features", "scores"}
        How several networks are combined.
    layers, resize, crop : str or None
        The texts of the options.
    embedding, coreset, seed, engine, threads, batch_size, bank_storage
        See `minicore.cli.options`.
    **options
        Other parameters of `PatchCore`.

    Raises
    ------
    MinicoreError
        If `ensemble` is ``"scores"`` but there is only one network, or a size cannot be read.
    """
    from minicore.backbones.joint import layer_sets
    from minicore.patchcore.ensemble import Ensemble
    from minicore.patchcore.estimator import PatchCore

    def single(network: Any, layer_names: Any) -> PatchCore:
        return PatchCore(
            network,
            embedding,
            coreset,
            seed,
            engine,
            layers=layer_names,
            resize=image_size(resize, "--resize"),
            crop=image_size(crop, "--crop"),
            bank_storage=bank_storage,
            n_threads=threads,
            batch_size=batch_size,
            **options,
        )

    layer_names = tuple(map(str.strip, layers.split(","))) if layers else None
    networks = backbone if isinstance(backbone, list) else [backbone]
    if len(networks) < 2:
        if ensemble == "scores":
            raise MinicoreError("--ensemble scores: give --backbone at least twice")
        return single(networks[0] if networks else None, layer_names)
    if ensemble == "features":
        return single(networks, layer_names)
    layers_of_each = layer_sets(layer_names, len(networks))
    return Ensemble([single(n, names) for n, names in zip(networks, layers_of_each, strict=True)])


def one_or_several(backbone: list[str] | None) -> Any:
    """Return what ``--backbone`` names, as `minicore.load` takes it: one network, a list, None."""
    return backbone[0] if backbone and len(backbone) == 1 else backbone or None


def image_size(text: str | None, option: str) -> Any:
    """Return the size that ``224``, ``72x140`` or ``none`` describes, as `PatchCore` takes it.

    Raises
    ------
    MinicoreError
        If the text has another form.
    """
    if text is None or text == "none":
        return text
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() and int(side) > 0 for side in sides):
        raise MinicoreError(f"{option} {text}: expected pixels, HEIGHTxWIDTH or none")
    return int(sides[0]) if len(sides) == 1 else (int(sides[0]), int(sides[1]))


def neighbours(text: str) -> int | None:
    """Return the b that ``9`` or ``none`` describes, as `PatchCore` takes it.

    Raises
    ------
    MinicoreError
        If the text has another form.
    """
    if text == "none":
        return None
    if not text.isdecimal():
        raise MinicoreError(f"--b {text}: expected a whole number of at least 2, or none")
    return int(text)


def degrees(text: str | None) -> tuple[float, ...] | None:
    """Return the angles that ``0,90,180,270`` describes, as `PatchCore` takes them.

    Raises
    ------
    MinicoreError
        If the text has another form.
    """
    if text is None:
        return None
    try:
        return tuple(float(angle) for angle in text.split(","))
    except ValueError:
        raise MinicoreError(
            f"--angles {text}: expected degrees separated by commas, such as 0,90,180,270"
        ) from None


def files_of_networks(backbone: list[str] | None) -> list[Path]:
    """Return the files of the networks that ``--backbone`` names."""
    from minicore.backbones import network_files

    return [file for name in backbone or ["default"] for file in network_files(name)]
