"""The server answers the page, and refuses everyone else."""

import json

import numpy as np
import pytest


def test_the_page_can_open_detect_and_show(client, pixels):
    assert client.json("info")["parts"] == ["gear"]
    scene = client.ask("POST", "open", json.dumps({"part": "gear"}))
    assert scene.values["grid"] == [8, 8] and scene.values["images"]["training"] == 12
    assert client.ask("GET", "training/3").arrays["pixels"].shape == (64, 64, 3)
    found = client.ask("POST", "detect?b=5&sigma=2&share=0.1&engine=equations", pixels.tobytes())
    assert found.arrays["map"].shape == (64, 64) and len(found.arrays["neighbours"]) == 5
    features = client.ask("POST", "features?position=9", pixels.tobytes()).arrays["features"]
    assert features.shape == (20,)
