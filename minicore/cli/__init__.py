"""The ``minicore`` command: its subcommands, its errors and its exit codes.

Results go to standard output, all other messages to standard error.

Exit codes:

- 0: success
- 1: error; one line on standard error states the reason
- 2: wrong command line
- 3: with ``score --exit-code``, an image is anomalous
- 4: some images were not scored. ``score --on-error skip`` skipped them, or, with ``--exit-code``,
  a folder contains images that were not read. Code 4 has priority over code 3.
- 130, 143: stopped by Ctrl-C, by SIGTERM
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from minicore import __version__
from minicore.cli import (
    backbone,
    bench,
    course,
    demo,
    evaluate_dataset,
    export_model,
    fit,
    info,
    play,
    report,
    reproduce,
    score_images,
    update_model,
)
from minicore.cli.console import replace_missing_characters
from minicore.cli.messages import print_message, with_option_names
from minicore.errors import MinicoreError, MinicoreWarning, OutputError
from minicore.runtime import system

app = typer.Typer(
    help="PatchCore on a CPU: learn from good images, find defective images and the defects.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(demo.demo)
app.command()(fit.fit)
app.command()(update_model.update)
app.command()(score_images.score)
app.command()(evaluate_dataset.evaluate)
app.command()(export_model.export)
app.command()(info.info)
app.command()(play.play)
app.command()(bench.bench)
app.command()(reproduce.reproduce)
app.command()(report.report)
app.add_typer(backbone.app, name="backbone")
app.add_typer(course.app, name="course")


def _print_version(requested: bool) -> None:
    if requested:
        print(__version__)
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
    debug: Annotated[
        bool,
        typer.Option("--debug", help="Show the traceback of an error. Works at any position."),
    ] = False,
) -> None:
    pass


def main(arguments: list[str] | None = None) -> None:
    """Run the command. An error is one line on standard error, without a traceback.

    Parameters
    ----------
    arguments : list of str, optional
        By default the arguments of the process.

    Raises
    ------
    SystemExit
        With the exit code.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    replace_missing_characters()
    _clean_up_on_signals()
    try:
        try:
            with _warnings_as_lines():
                app([a for a in arguments if a != "--debug"] if len(arguments) > 1 else arguments)
        finally:
            _flush_standard_output()
    except (MinicoreError, ValueError, OSError, MemoryError) as error:
        if debug:
            raise
        print_message(f"minicore: {_reason(error)}")
        sys.exit(1)


def _reason(error: Exception) -> str:
    """Return the text of an error, with names of command-line options."""
    text = f"{error}" or type(error).__name__
    if isinstance(error, MemoryError):
        return f"out of memory: {text}; use fewer images, or lower --batch-size or --coreset"
    if isinstance(error, MinicoreError) and not isinstance(error, OutputError):
        return text
    if isinstance(error, OSError) and not isinstance(error, MinicoreError):
        if error.filename:
            return f"{os.fsdecode(error.filename)}: {error.strerror}"
        if error.errno in system.DISK_OR_PIPE:  # errors of files have a name (`files.atomic_write`)
            return f"standard output: cannot be written: {error.strerror}"
    return with_option_names(error) or text


@contextlib.contextmanager
def _warnings_as_lines() -> Iterator[None]:
    """Print each `MinicoreWarning` once, on one line, without a position in the code."""
    with warnings.catch_warnings():
        default = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
            if issubclass(category, MinicoreWarning):
                print_message(f"minicore: warning: {message}")
            else:
                default(message, category, *rest, **more)

        warnings.filterwarnings("default", category=MinicoreWarning)
        warnings.showwarning = show
        yield


def _clean_up_on_signals() -> None:
    """Turn SIGTERM and similar signals into an exception, so that no half-written file remains."""

    def end(number: int, _: Any) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is threading.main_thread():
        for number in system.ENDING:
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, end)


def _flush_standard_output() -> None:
    """Write the buffered text now, so that `main` reports an error in one line."""
    try:
        sys.stdout.flush()
    except OSError:
        with contextlib.suppress(OSError, ValueError):  # Python must not try again at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise
