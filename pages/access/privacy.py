"""Show a visitor of a demo no folders of the server and no other visitor's runs."""

from pages.access.identity import bounds, visitor
from vit import flags
from vit.config import RunConfig
from vit.runs import privacy
from vit.sweeps import sweep
from vit.sweeps.config import SweepConfig


def without_paths(text: str) -> str:
    """Return a sentence as this visitor may read it: on a demo, paths are reduced to their last part."""
    return text if bounds() is None else privacy.without_paths(text)


def command(config: RunConfig, name: str | None) -> str:
    """Return the command that trains a run with these settings; on a demo without private settings."""
    return flags.command_line(_shown(config), name)


def sweep_command(config: SweepConfig) -> str:
    """Return the command that trains a sweep; on a demo without private settings."""
    return sweep.command_line(config.model_copy(update={"base": _shown(config.base)}))


def _shown(config: RunConfig) -> RunConfig:
    """Return the settings to show; on the user's own machine the command must work, so they stay complete."""
    if bounds() is None:
        return config
    # The settings of the Train page have no owner yet: they are this visitor's.
    return privacy.without_private_settings(config.model_copy(update={"owner": config.owner or visitor()}))
