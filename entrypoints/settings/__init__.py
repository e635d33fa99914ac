"""Settings: the only reader of the environment. Each variable is declared once, in ``variables.py``."""

from entrypoints.settings.loading import SettingsError, is_set, load_settings, misspelt, read_settings
from entrypoints.settings.readers import Secret
from entrypoints.settings.variables import SECRETS, VARIABLES, Settings

__all__ = [
    "SECRETS",
    "VARIABLES",
    "Secret",
    "Settings",
    "SettingsError",
    "is_set",
    "load_settings",
    "misspelt",
    "read_settings",
]
