"""Let ``python -m minicore`` be the command."""

from minicore.cli import main

main()
