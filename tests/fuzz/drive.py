"""Generate cases one after the other, and judge each one."""

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

SECONDS = 20  # limit for one case; a thousand cases usually take a second together
CORPUS = 300  # number of changed files that are changed further


class Broken(AssertionError):
    """A case that broke the promise: what happened, and the content of the file."""

    def __init__(self, what: str, content: bytes) -> None:
        super().__init__(what)
        self.content = content


@contextlib.contextmanager
def patience(seconds: float) -> Iterator[None]:
    """Raise a TimeoutError in a block that takes too long, when Python code runs again."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"still busy after {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def judge(target: Target, content: bytes, folder: Path) -> str:
    """Read one content, and return "a result" or the message of the error without its values.

    Raises
    ------
    Broken
        If the end is neither a result nor one line that names the file.
    """
    before = peak()
    most, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, MOST_PIXELS
    path = target.put(content, folder)
    try:
        with patience(SECONDS), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a file that only causes a warning has a result
            target.read(path)
    except (MinicoreError, ValueError) as error:
        message = str(error)
        if str(path) not in message and target.name != "model":
            raise Broken(f"does not name the file: {message!r}", content) from error
        if "\n" in message.replace("a\nb", "") or len(message) > 2000:  # `trees` has this name
            raise Broken(f"not one line: {message[:200]!r}", content) from error
        ending = without_values(message.replace(str(folder), ""))[:200]
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


def without_values(message: str) -> str:
    """Replace the numbers and the quoted texts of a message, which differ between similar cases."""
    return re.sub(r"[\d.]+|'[^']*'|\"[^\"]*\"", "#", message)


def peak() -> float:
    """Return the largest memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def cases(target: Target, seeds: list[bytes], rng: Random) -> Iterator[bytes]:
    """Yield changed files without end. Send back each ending: new endings are changed further."""
    corpus, seen = list(seeds), Counter[str]()
    while True:
        # Half of the cases change a valid file, which passes most of the checks.
        parent = rng.choice(seeds if rng.random() < 0.5 else corpus)
        content = target.change(rng, parent)
        ending = yield content
        seen[ending] += 1
        if seen[ending] <= 3 and len(content) < 3 * max(map(len, seeds)):
            corpus.append(content)
            if len(corpus) > CORPUS + len(seeds):
                del corpus[len(seeds)]
