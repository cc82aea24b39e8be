"""Data sets as bytes: a JSON list of the files in a folder, which can be changed and stored.

An entry is ``[path, kind, content]``; the kind is ``image``, ``mask``, ``text``, ``link``,
``folder`` or ``bytes``. The first entry is the layout.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from PIL import Image

from fuzz import mutate
from minicore import datasets
from minicore.images import Preprocessing

HEADS = "object,split,label,image,mask"


def seeds(_: Path) -> list[bytes]:
    """One small data set in each layout."""
    good = [[f"nut/train/good/{i}.png", "image", ""] for i in range(2)]
    test = [["nut/test/good/0.png", "image", ""], ["nut/test/cut/0.png", "image", ""]]
    truth = [["nut/ground_truth/cut/0_mask.png", "mask", ""]]
    union = [[f"nut/ground_truth/cut/0/00{i}.png", "mask", ""] for i in range(2)]
    ok = [[f"nut/{p}.bmp", "image", ""] for p in ("train/ok/0", "test/ok/0", "test/ko/0")]
    rows = [HEADS]
    rows += [f"nut,train,normal,nut/{i}.JPG," for i in range(2)]
    rows += ["nut,test,normal,nut/2.JPG,", "nut,test,anomaly,nut/3.JPG,nut/3.png"]
    visa: list[list[str]] = [[f"nut/{i}.JPG", "image", ""] for i in range(4)]
    visa += [["nut/3.png", "mask", ""], ["split_csv/1cls.csv", "text", "\n".join(rows)]]
    kos = [[f"kos0{k}/Part{i}.jpg", "image", ""] for k in (1, 2) for i in range(4)]
    kos += [[f"kos0{k}/Part{i}_label.bmp", "mask", ""] for k in (1, 2) for i in range(4)]
    tiles = [[f"MT_Free/Imgs/{i}.jpg", "image", ""] for i in range(5)]
    tiles += [["MT_Crack/Imgs/9.jpg", "image", ""], ["MT_Crack/Imgs/9.png", "mask", ""]]
    layouts = {
        "mvtec": good + test + truth,
        "mvtec_loco": [*good, *test, *union, ["nut/validation/good/0.png", "image", ""]],
        "btad": [*ok, ["nut/ground_truth/ko/0.png", "mask", ""]],
        "visa": visa,
        "kolektor_sdd": kos,
        "mtd": tiles,
        "folder": good + test + truth,
    }
    return [json.dumps([[layout, "layout", ""], *it]).encode() for layout, it in layouts.items()]


NAMES = (
    "..", "../out", "/etc/hostname", "a/b/c", "good", "Good", "é" * 90, "x" * 250, "x" * 300,
    "a\nb", "\udcff.png", " ", "-o.png", ".hidden.png", "._0.png", "0.PNG", "0.txt", "CON",
    "0_mask_mask.png", "0_label.png", "mask", "0.png.png", "a,b.png", '"', "*", "[0].png",
)  # fmt: skip


def change(rng: Random, content: bytes) -> bytes:
    """Rename, remove, repeat or replace entries; change tables and the bytes of files."""
    tree: list[Any] = json.loads(content)
    for _ in range(rng.choice((1, 1, 2, 3))):
        if len(tree) < 2:
            break
        at = rng.randrange(1, len(tree))
        path, kind, what = tree[at]
        parent = path.rpartition("/")[0]
        match rng.randrange(9):
            case 0:
                del tree[at]
            case 1:
                tree[at] = [f"{parent}/{rng.choice(NAMES)}".lstrip("/"), kind, what]
            case 2:
                tree.append([f"{parent}/{rng.choice(NAMES)}".lstrip("/"), kind, what])
            case 3:
                target = rng.choice(
                    (".", "..", path.rpartition("/")[2], "nowhere", "/dev/null", "/")
                )
                tree[at] = [path, "link", target]
            case 4:
                place = rng.choice((path, parent, parent.rpartition("/")[0]))
                tree[at] = [place, rng.choice(("link", "bytes", "folder")), "."]
            case 5:
                tree[at] = [path, "bytes", rng.randbytes(rng.choice((0, 1, 50))).hex()]
            case 6:
                tree[at] = [path, rng.choice(("image", "mask", "text")), rng.choice(("", "9x7"))]
            case 7:
                victim = rng.choice(path.split("/"))
                new = rng.choice(NAMES)
                tree[1:] = [["/".join(new if p == victim else p for p in e[0].split("/")), *e[1:]]
                            for e in tree[1:]]  # fmt: skip
            case 8:
                tables = [i for i, entry in enumerate(tree) if entry[1] == "text"]
                if tables:
                    tree[tables[0]][2] = table(rng, tree[tables[0]][2])
    return json.dumps(tree).encode()


def table(rng: Random, text: str) -> str:
    """Change a table: its cells, rows, quotes and bytes."""
    rows = [row.split(",") for row in text.split("\n")]
    row = rng.choice(rows)
    match rng.randrange(7):
        case 0:
            row[rng.randrange(len(row))] = rng.choice(
                ("../../etc/passwd", "/etc/passwd", "C:\\x", "", "nut", ".", "nut/0.JPG/..", '"',
                 "\0", "x" * 200_000, "nut/\udcff", "anomaly", "nut/3.png\r", "~", "nut")
            )  # fmt: skip
        case 1:
            rows.remove(row)
        case 2:
            rows.append(list(row))
        case 3:
            row.append("more")
        case 4:
            row.pop()
        case 5:
            return text.replace(",", rng.choice((";", "\t", '"', ",,")), rng.choice((1, 3, -1)))
        case 6:
            return mutate.raw(rng, text.encode("utf-8", "surrogateescape")).decode(
                "utf-8", "surrogateescape"
            )
    return "\n".join(",".join(row) for row in rows)


def put(content: bytes, folder: Path) -> Path:
    """Write the tree to a folder. Impossible entries are left out. Nothing leaves the folder."""
    root = folder / "data"
    root.mkdir()
    (folder / "layout").write_text(json.loads(content)[0][0])
    for path, kind, what in json.loads(content)[1:]:
        place = root / path
        if root not in Path(os.path.normpath(place)).parents:
            continue
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            if root.resolve() not in place.parent.resolve().parents and place.parent != root:
                continue  # through a link
            if kind == "link":
                place.symlink_to(what)
            elif kind == "folder":
                place.mkdir()
            elif kind == "bytes":
                place.write_bytes(bytes.fromhex(what) if what != "." else b"")
            elif kind == "text":
                place.write_text(what, encoding="utf-8", errors="surrogateescape")
            else:
                size = (8, 10) if not what else (9, 7)
                pixels = np.full(size if kind == "mask" else (*size, 3), 255, np.uint8)
                suffix = place.suffix.lower()
                form = {".jpg": "JPEG", ".bmp": "BMP"}.get(suffix, "PNG")
                with place.open("xb") as file:
                    Image.fromarray(pixels).save(file, form)
        except (OSError, ValueError, RuntimeError):  # no such name, or something else is there
            continue
    return root


def read(root: Path) -> None:
    """Load the data set by its layout and read the masks. All listed files lie in the root."""
    layout = (root.parent / "layout").read_text()
    if layout == "folder":
        nut = root / "nut"
        found = datasets.folder(nut / "train/good", nut / "test", nut / "ground_truth")
    elif layout in ("kolektor_sdd", "mtd"):
        found = datasets.LOADERS[layout](root)
    else:
        names = datasets.categories(root, layout)
        found = datasets.LOADERS[layout](root, names[0])
    listed = [*found.train, *found.test, *(m for m in found.masks or [] if m is not None)]
    assert all(root in Path(os.path.normpath(path)).parents for path in listed), listed
    assert len(found.test) == len(found.labels) == len(found.defects)
    if found.test and found.masks is not None:
        found.read_masks(Preprocessing(resize=None, crop=4))
