"""``python -m entrypoints.cli``."""

from entrypoints.cli.commands import cli

if __name__ == "__main__":
    cli()
