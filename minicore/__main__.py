"""Start the command, for ``minicore`` and for ``python -m minicore``."""

import sys


def main() -> None:
    """Run the command, if the files of this package are not those of another project."""
    from minicore.runtime import distribution

    try:
        distribution.check_files()
    except ImportError as error:
        sys.exit(f"minicore: {error}")
    from minicore.cli import main as command

    command()


if __name__ == "__main__":
    main()
