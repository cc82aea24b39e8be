"""One file from a server: whole and right, or not at all."""

import hashlib
import logging
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from minicore.errors import BackboneError
from minicore.runtime.progress import bar as progress_bar

SECONDS_OF_SILENCE = 30


def download(url: str, path: Path, checksum: str, *, advice: str, progress: bool) -> None:
    """Download a file through pooch: under a temporary name first, moved once its checksum fits.

    Parameters
    ----------
    url : str
        HTTPS; plain HTTP only from this machine.
    path : Path
        The file to make.
    checksum : str
        How its SHA-256 begins. Eight digits find any damage; against a forger it is HTTPS that
        protects, hence no other.
    advice : str
        What to do once the file has been put at `path` by hand; the end of every error's message.
    progress : bool
        Show a progress bar on standard error.

    Raises
    ------
    BackboneError
        If the file cannot be had, with the place to put it by hand. Nothing is left behind.
    """
    try:
        import pooch  # type: ignore[import-untyped]
        from requests.exceptions import HTTPError, RequestException
    except ImportError as error:
        raise BackboneError(
            'fetching a network needs the package pooch: pip install "minicore[convert]"'
        ) from error

    remedy = f"fetch it another way and put it at {path}, {advice}"
    if not _is_trusted(url):
        raise BackboneError(f"{url}: not HTTPS; {remedy}")

    def check_answer(answer: Any, **_: Any) -> None:
        """Refuse errors, and redirections away from HTTPS before they are followed."""
        target = urljoin(answer.url, answer.headers.get("Location", ""))
        if answer.status_code >= 400 or (answer.is_redirect and not _is_trusted(target)):
            answer.close()
            answer.raise_for_status()
            raise BackboneError(f"{url}: leads to {target}, which is not HTTPS; {remedy}")

    def fetch_and_check(url: str, file: str, pooch_: Any) -> None:
        # pooch tells the bar its total, once it knows; it is gone before an error is said.
        with progress_bar(1, "fetch", "B", show=progress) as bar:
            fetch = pooch.HTTPDownloader(
                progressbar=bar, timeout=SECONDS_OF_SILENCE, hooks={"response": check_answer}
            )
            fetch(url, file, pooch_)
        found = sha256(Path(file))
        if not found.startswith(checksum):
            raise BackboneError(
                f"{url}: wrong or damaged, its SHA-256 begins with {found[: len(checksum)]}, not "
                f"{checksum}; try again, or {remedy}"
            )

    pooch.get_logger().setLevel(logging.WARNING)  # the progress bar says it all
    try:
        pooch.retrieve(url, None, path.name, path.parent, downloader=fetch_and_check)
    except HTTPError as error:
        raise BackboneError(f"{url}: the server refuses it ({error}); {remedy}") from error
    except RequestException as error:  # an OSError too, hence before it
        reason = f"no connection, or one cut short: {type(error).__name__}"
        raise BackboneError(f"{url}: cannot be fetched ({reason}); {remedy}") from error
    except OSError as error:
        raise BackboneError(
            f"{path.parent}: cannot be written ({error.strerror or error}); make room, or set "
            "MINICORE_CACHE to another folder, and run again"
        ) from error


def _is_trusted(url: str) -> bool:
    parts = urlsplit(url)
    here = parts.hostname in ("localhost", "127.0.0.1", "::1")
    return parts.scheme == "https" or (parts.scheme == "http" and here)


def sha256(path: Path) -> str:
    """Give a file's SHA-256, in hexadecimal digits."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(2**20):
                digest.update(block)
    except OSError as error:
        raise BackboneError(f"{path}: cannot be read ({error.strerror or error})") from error
    return digest.hexdigest()
