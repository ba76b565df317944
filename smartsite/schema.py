"""Brings a database to this version: numbered migrations, then the tables of the device kinds and their partitions."""

from __future__ import annotations

from core.clock import Clock
from core.database import connect
from core.migrate import migrate
from core.settings import Settings
from sensors import tables, views
from sensors.profiles import load_profiles


async def bring_up_to_date(settings: Settings, *, clock: Clock) -> list[str]:
    """Applies what is pending and returns what was done: migrations as ``room/file``, then tables, columns and views in
    words; an empty list when there was nothing to do.

    Raises ConfigurationError when the database was migrated with other files, psycopg.Error when it is away.
    """
    async with await connect(settings.database, application="migrate") as connection:
        applied = await migrate(connection)
        profiles = load_profiles(settings.kinds_dir)
        done = [f"{migration.room}/{migration.name}" for migration in applied]
        done += await tables.reconcile(connection, profiles)
        await tables.maintain(connection, profiles, clock.now())
        done += await views.reconcile(connection, profiles, clock)
    return done
