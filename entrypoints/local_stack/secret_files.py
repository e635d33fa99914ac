"""Secrets kept in files that only their owner can read."""

import os
import secrets
from pathlib import Path


def kept_secret(path: Path) -> str:
    """The secret in ``path``; made by chance the first time. Safe to put into a URL as it is."""
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        write_secret(path, secrets.token_urlsafe(32))
        return path.read_text().strip()


def write_secret(path: Path, text: str) -> None:
    """Write a file for its owner's eyes only. A crash leaves the old file or the new one."""
    aside = path.with_name(path.name + ".new")
    aside.unlink(missing_ok=True)
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(descriptor)
    aside.replace(path)
