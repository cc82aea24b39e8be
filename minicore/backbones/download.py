"""Download one file from a server and check it by its checksum."""

import hashlib
import logging
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from minicore.errors import BackboneError
from minicore.runtime import distribution
from minicore.runtime.progress import bar as progress_bar

SECONDS_OF_SILENCE = 30


def download(url: str, path: Path, checksum: str, *, advice: str, progress: bool) -> None:
    """Download a file with pooch. It appears at `path` only if its checksum is correct.

    Parameters
    ----------
    url : str
        It must be HTTPS, except for a server on this machine.
    path : Path
        The file to write.
    checksum : str
        The first digits of the SHA-256. Eight digits detect damage but not a forged file, which
        HTTPS prevents.
    advice : str
        The end of each error message: the next step after the user has put the file at `path`.
    progress : bool
        Show a progress bar on standard error.

    Raises
    ------
    BackboneError
        If the download fails. The message contains the path for a file that the user downloads in
        another way. No partial file remains.
    """
    distribution.require("downloading a network", "convert", "pooch", "requests")
    import pooch  # type: ignore[import-untyped]
    from requests.exceptions import HTTPError, RequestException

    remedy = f"download it in another way and put it at {path}, {advice}"
    if not _is_trusted(url):
        raise BackboneError(f"{url}: not HTTPS; {remedy}")

    def check_answer(answer: Any, **_: Any) -> None:
        """Raise an error for a failed request, and for a redirection that is not HTTPS."""
        target = urljoin(answer.url, answer.headers.get("Location", ""))
        if answer.status_code >= 400 or (answer.is_redirect and not _is_trusted(target)):
            answer.close()
            answer.raise_for_status()
            raise BackboneError(f"{url}: redirects to {target}, which is not HTTPS; {remedy}")

    def fetch_and_check(url: str, file: str, pooch_: Any) -> None:
        # pooch sets the total of the bar. The bar ends here, before an error is printed.
        with progress_bar(1, "download", "B", show=progress) as bar:
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

    pooch.get_logger().setLevel(logging.WARNING)  # the progress bar is enough
    try:
        pooch.retrieve(url, None, path.name, path.parent, downloader=fetch_and_check)
    except HTTPError as error:
        raise BackboneError(f"{url}: the server returned an error ({error}); {remedy}") from error
    except RequestException as error:  # before OSError, from which it is derived
        reason = f"no connection, or it was interrupted: {type(error).__name__}"
        raise BackboneError(f"{url}: cannot be downloaded ({reason}); {remedy}") from error
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
    """Return the SHA-256 of a file in hexadecimal digits."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(2**20):
                digest.update(block)
    except OSError as error:
        raise BackboneError(f"{path}: cannot be read ({error.strerror or error})") from error
    return digest.hexdigest()
