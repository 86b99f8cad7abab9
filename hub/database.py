"""The way to PostgreSQL: an engine for the hub's role, and the migrations run as the owner."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

HUB_ROLE = "seci_hub"


def engine_of(url: str) -> AsyncEngine:
    """An engine for `url` (postgresql://...), with connections checked before use."""
    target = make_url(url).set(drivername="postgresql+asyncpg")
    return create_async_engine(target, pool_size=4, max_overflow=4, pool_pre_ping=True)


def migrate(admin_url: str) -> None:
    """Brings the schema up to date, as the database's owner. Idempotent."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    target = make_url(admin_url).set(drivername="postgresql+asyncpg")
    config.attributes["url"] = target.render_as_string(hide_password=False)
    command.upgrade(config, "head")
