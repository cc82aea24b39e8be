"""The networks that minicore can download by name, and the functions that do it.

The weights are those of torchvision. A name without suffix means torchvision's first training of a
network, and the suffix `_v2` means the second training with a newer recipe. The paper uses
`wide_resnet50_2`.

A network is published as a torch checkpoint and used as an ONNX file. `get` downloads the
checkpoint, checks it, converts it, and runs the result once. Only after that, the file gets its
final name. Therefore each file in the cache is complete, and an interrupted call can be repeated.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from minicore.backbones.convert.checkpoint import read_checkpoint
from minicore.backbones.convert.graph import Storage
from minicore.backbones.convert.resnet import ARCHITECTURES, STAGES, resnet_to_onnx
from minicore.backbones.download import download, sha256
from minicore.errors import BackboneError, quoted
from minicore.runtime import cache, system
from minicore.runtime.files import check_writable, identities, is_file
from minicore.runtime.kinds import NETWORK

LAYERS = ("layer1", "layer2", "layer3")
TORCHVISION = (
    "BSD 3-Clause, as part of torchvision; trained on ImageNet-1k, whose images are licensed for "
    "non-commercial research"
)


@dataclass(frozen=True)
class Network:
    """A published network.

    Parameters
    ----------
    name : str
        The name in `CATALOG` and in the cache.
    url : str
        Address of the checkpoint.
    sha256 : str
        First digits of the checkpoint's SHA-256. torchvision writes eight digits into the file
        name.
    megabytes : float
        Size of the checkpoint in 10⁶ bytes.
    gmacs : float
        10⁹ multiply-adds for one image of 224 × 224 pixels up to layer3.
    licence : str
        Licence of the weights.
    """

    name: str
    url: str
    sha256: str
    megabytes: float
    gmacs: float
    licence: str = TORCHVISION

    @property
    def architecture(self) -> str:
        """Key in `resnet.ARCHITECTURES`."""
        return self.name.removesuffix("_v2")

    @property
    def layers(self) -> dict[str, int]:
        """Each layer of the network with its number of channels."""
        return dict(zip(STAGES, ARCHITECTURES[self.architecture].widths, strict=True))

    @property
    def checkpoint(self) -> str:
        """File name of the checkpoint."""
        return self.url.rsplit("/", 1)[-1]


def _torchvision(name: str, sha256: str, megabytes: float, gmacs: float) -> Network:
    file = f"{name.removesuffix('_v2')}-{sha256}.pth"
    url = f"https://download.pytorch.org/models/{file}"
    return Network(name, url, sha256, megabytes, gmacs)


# The first training of the wide ResNets is published as float16, with half the size of the second.
CATALOG = {
    network.name: network
    for network in (
        _torchvision("resnet18", "f37072fd", 46.8, 1.40),
        _torchvision("resnet34", "b627a593", 87.3, 3.02),
        _torchvision("resnet50", "0676ba61", 102.5, 3.28),
        _torchvision("resnet50_v2", "11ad3fa6", 102.5, 3.28),
        _torchvision("resnet101", "63fe2227", 178.8, 6.99),
        _torchvision("resnet101_v2", "cd907fc2", 178.8, 6.99),
        _torchvision("resnet152", "394f9c45", 241.6, 10.70),
        _torchvision("resnet152_v2", "f82ba261", 241.7, 10.70),
        _torchvision("wide_resnet50_2", "95faca4d", 138.2, 9.19),
        _torchvision("wide_resnet50_2_v2", "9ba9bcbe", 275.9, 9.19),
        _torchvision("wide_resnet101_2", "32ee1156", 254.7, 20.54),
        _torchvision("wide_resnet101_2_v2", "d733dc28", 508.3, 20.54),
        _torchvision("resnext50_32x4d", "7cdf4587", 100.4, 3.36),
        _torchvision("resnext50_32x4d_v2", "1a0047aa", 100.5, 3.36),
        _torchvision("resnext101_32x8d", "8ba56ff5", 356.1, 14.70),
        _torchvision("resnext101_32x8d_v2", "110c445d", 356.2, 14.70),
        _torchvision("resnext101_64x4d", "173b62eb", 334.8, 13.83),
    )
}


@dataclass(frozen=True)
class Measured:
    """Measured speed and accuracy of a network.

    Parameters
    ----------
    milliseconds : float
        Time for one image of 224 × 224 pixels up to layer3 on two cores with AVX-512, from
        `minicore backbone info NETWORK --time`. The values of the weights have no influence on the
        time; some networks were measured with random weights.
    auroc : dict of str to (float, float)
        Image and pixel AUROC in per cent for categories of MVTec AD, with a coreset of 10 % and
        seed 0, from `minicore evaluate MVTEC bottle screw --backbone NETWORK`.
    """

    milliseconds: float
    auroc: dict[str, tuple[float, float]] = field(default_factory=dict)


MEASURED = {
    "default": Measured(5.1, {"bottle": (100.00, 97.74), "screw": (96.47, 99.27)}),
    "resnet18": Measured(8.8, {"bottle": (100.00, 97.88), "screw": (96.54, 99.14)}),
    "resnet34": Measured(18.0),
    "resnet50": Measured(22.9),
    "resnet101": Measured(46.2),
    "resnet152": Measured(67.1),
    "wide_resnet50_2": Measured(56.3),
    "wide_resnet101_2": Measured(124.6),
    "resnext50_32x4d": Measured(29.5),
    "resnext101_32x8d": Measured(99.4),
    "resnext101_64x4d": Measured(100.5),
}


def find(name: str = "default") -> Path:
    """Return the ONNX file of a network.

    Parameters
    ----------
    name : str
        "default" for the network that is part of minicore, or the name of a network in the cache.

    Returns
    -------
    Path

    Raises
    ------
    BackboneError
        If there is no such file. The message contains the command that downloads it.
    """
    if name == "default":
        package = Path(__file__).resolve().parents[1]  # weights/: inside in a wheel, beside in git
        places = package / "weights" / "default.onnx", package.parent / "weights" / "default.onnx"
        for path in places:
            if path.is_file():
                return path
        raise BackboneError(f"{places[0]}: the default network is missing; install minicore again")
    path = cache.folder("backbones") / f"{name}.onnx"
    if Path(name).name == name and is_file(path):
        return path
    if name in CATALOG:
        raise BackboneError(f"{path}: not downloaded yet; run: minicore backbone get {name}")
    known = ", ".join(["default", *CATALOG])
    raise BackboneError(
        f"no network {quoted(name)} is known; there are {known}, or pass an .onnx file"
    )


def get(
    name: str,
    *,
    url: str | None = None,
    folder: Path | None = None,
    layers: Sequence[str] = LAYERS,
    storage: Storage = "float32",
    progress: bool = True,
) -> Path:
    """Download a network, convert it to ONNX, run it once, and store it in the cache.

    Parameters
    ----------
    name : str
        A name in `CATALOG`.
    url : str, optional
        Another address of the same checkpoint.
    folder : Path, optional
        The folder for the ONNX file; by default minicore's cache. If it already contains the
        checkpoint under the publisher's file name, this file is used and kept.
    layers, storage
        As for `resnet.resnet_to_onnx`.
    progress : bool
        Show a progress bar on standard error.

    Returns
    -------
    Path
        The ONNX file. An existing file is not changed. To get other layers or another storage,
        delete it first.

    Raises
    ------
    BackboneError
        If the name is unknown or a step fails. No partial file remains.
    """
    if name not in CATALOG:
        raise BackboneError(f"no network {quoted(name)} is known; there are {', '.join(CATALOG)}")
    network, folder = CATALOG[name], folder or cache.folder("backbones")
    target, checkpoint = folder / f"{name}.onnx", folder / network.checkpoint
    if target.is_file():
        return target
    fetched = not checkpoint.is_file()
    if fetched:
        download(
            url or network.url,
            checkpoint,
            network.sha256,
            advice=f"then run again: minicore backbone get {name}",
            progress=progress,
        )
    elif not sha256(checkpoint).startswith(network.sha256):
        raise BackboneError(
            f"{checkpoint}: differs from the file published at {network.url}: its SHA-256 does not "
            f"begin with {network.sha256}; delete it and run again: minicore backbone get {name}"
        )
    convert(checkpoint, target, name=name, layers=layers, storage=storage)
    if fetched:
        system.unlink(checkpoint)
    return target


def convert(
    checkpoint: str | Path,
    out: str | Path,
    *,
    name: str | None = None,
    layers: Sequence[str] = LAYERS,
    storage: Storage = "float32",
    overwrite: bool = False,
) -> Path:
    """Convert a checkpoint of any residual network to an ONNX file, and run the result once.

    Parameters
    ----------
    checkpoint : str or Path
        A `.pth` or `.safetensors` file, see `checkpoint.read_checkpoint`. If its checksum is that
        of a network in `CATALOG`, the source and the licence are written into the ONNX file.
    out : str or Path
        The file to write.
    name, layers, storage, overwrite
        As for `resnet.resnet_to_onnx`. The checkpoint itself is never replaced.

    Returns
    -------
    Path
        The ONNX file.

    Raises
    ------
    BackboneError
        If the checkpoint cannot be read or is not a residual network.
    OutputError
        If the file cannot be written or must not be replaced.
    """
    checkpoint = Path(checkpoint)
    check_writable(out, inputs=identities([checkpoint]), overwrite=overwrite, kind=NETWORK)
    arrays = read_checkpoint(checkpoint)
    digest = sha256(checkpoint)
    published = next((n for n in CATALOG.values() if digest.startswith(n.sha256)), None)
    return resnet_to_onnx(
        arrays,
        out,
        name=name or (published.name if published else None),
        layers=layers,
        source=published.url if published else checkpoint.name,
        source_sha256=digest,
        licence=published.licence if published else "",
        storage=storage,
        overwrite=overwrite,
    )
