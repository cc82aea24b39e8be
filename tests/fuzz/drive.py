"""Cases one after the other, and the judgement on each."""

from __future__ import annotations

import contextlib
import re
import resource
import signal
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

from PIL import Image

from fuzz.targets import MOST_PIXELS, Target, clear
from minicore.errors import MinicoreError

SECONDS = 20  # a case may take; thousands take a second together
CORPUS = 300  # changed files that are changed further


class Broken(AssertionError):
    """A case that kept no promise: what happened, and the content that did it."""

    def __init__(self, what: str, content: bytes) -> None:
        super().__init__(what)
        self.content = content


@contextlib.contextmanager
def patience(seconds: float) -> Iterator[None]:
    """Turn a hang into a TimeoutError, as soon as Python has a say again."""

    def ring(*_: object) -> None:
        raise TimeoutError(f"still busy after {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def judge(target: Target, content: bytes, folder: Path) -> str:
    """Read one content and say how it ended, in words that are the same for the same ending.

    Raises
    ------
    Broken
        If it ended in any way but a result, or one line that names the file.
    """
    before = peak()
    most, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, MOST_PIXELS
    path = target.put(content, folder)
    try:
        with patience(SECONDS), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what a file only makes one warn of, is a result
            target.read(path)
    except (MinicoreError, ValueError) as error:
        message = str(error)
        if str(path) not in message and target.name != "model":
            raise Broken(f"does not name the file: {message!r}", content) from error
        if "\n" in message.replace("a\nb", "") or len(message) > 2000:  # a folder of ours
            raise Broken(f"no line: {message[:200]!r}", content) from error
        ending = re.sub(r"[\d.]+|'[^']*'|\"[^\"]*\"", "#", message.replace(str(folder), ""))[:200]
    except Exception as error:
        raise Broken(f"{type(error).__name__}: {error}", content) from error
    else:
        ending = "a result"
    finally:
        Image.MAX_IMAGE_PIXELS = most
        clear(folder)
    if peak() - before > target.megabytes:
        raise Broken(f"took {peak() - before:.0f} MB", content)
    return ending


def peak() -> float:
    """The most memory this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def cases(target: Target, seeds: list[bytes], rng: Random) -> Iterator[bytes]:
    """Changed files without end. Send back how each ended: what is new is changed further."""
    corpus, seen = list(seeds), Counter[str]()
    while True:
        # Half of the time from a valid file, which has the longest way to go.
        parent = rng.choice(seeds if rng.random() < 0.5 else corpus)
        content = target.change(rng, parent)
        ending = yield content
        seen[ending] += 1
        if seen[ending] <= 3 and len(content) < 3 * max(map(len, seeds)):
            corpus.append(content)
            if len(corpus) > CORPUS + len(seeds):
                del corpus[len(seeds)]
