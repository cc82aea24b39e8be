"""``minicore play``: it prints the address, ends with Ctrl-C, and names a missing package."""

import re
import signal
import subprocess
import sys
import urllib.request

import pytest


@pytest.mark.usefixtures("posix")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_stopped(saved, number):
    command = [sys.executable, "-m", "minicore", "play", saved, "--no-browser"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            address = process.stdout.readline().strip()
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{32}/", address)
            with urllib.request.urlopen(address + "info", timeout=30) as response:
                assert b'"gear"' in response.read()
            process.send_signal(number)
            _, errors = process.communicate(timeout=30)
        finally:
            process.kill()
    assert errors == ""
    assert process.returncode == (0 if number == signal.SIGINT else 143)


@pytest.mark.parametrize("package", ["starlette", "uvicorn"])
def test_a_missing_package_is_named(run, monkeypatch, package):
    for name in [n for n in sys.modules if n.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("minicore.play.server", "minicore.play.access"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    code, _, text = run("play", "--no-browser")
    assert code == 1
    assert text.startswith(f"minicore: play needs the package {package}: pip install ")
    assert text.endswith('"minicore-patchcore[play]"\n')


def test_a_file_that_is_no_model_is_an_error(run, tmp_path):
    (tmp_path / "x.minicore").write_text("nothing")
    code, _, text = run("play", tmp_path / "x.minicore", "--no-browser")
    assert code == 1 and "x.minicore" in text and len(text.splitlines()) == 1


def test_an_ensemble_is_refused(run, saved, tiny, mvtec_root, tmp_path):
    from minicore import Ensemble, PatchCore

    members = [PatchCore(tiny, layers=[name], progress=False) for name in ("layer2", "layer3")]
    ensemble = Ensemble(members).fit(mvtec_root / "gear" / "train" / "good")
    path = ensemble.save(tmp_path / "two.minicore")
    code, _, text = run("play", path, "--no-browser")
    assert code == 1 and "ensemble" in text
