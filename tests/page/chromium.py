"""Where Chromium is on this machine."""

import os
import shutil

# Debian, Fedora, others, macOS.
NAMES = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
HOW_TO_INSTALL = "install Chromium (Debian: apt install chromium), or name it in CHROMIUM"


def find_chromium() -> str | None:
    """The path of the browser that the tests of the page use; None without one."""
    names = [os.environ["CHROMIUM"]] if os.environ.get("CHROMIUM") else NAMES
    return next((path for path in map(shutil.which, names) if path), None)
