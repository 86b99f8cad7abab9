"""The hub's tables brought up to date, as the database's owner: what only `seci-hub init` does."""

from pathlib import Path

from alembic import command
from alembic.config import Config

from hub.database import with_driver


def migrate(admin_url: str) -> None:
    """Brings the schema up to date, as the database's owner. Idempotent."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["url"] = with_driver(admin_url).render_as_string(hide_password=False)
    command.upgrade(config, "head")
