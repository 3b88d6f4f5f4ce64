"""The context that use cases share: settings, catalog and engine, each opened when needed.

The database is opened for everything, the model only for what reads, asks, searches or probes.
"""

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

from app.config.settings import Settings
from app.config.settings_file import SettingsStore, Value
from app.schemas.common import VideoLabel, VideoLabels
from engine.records import Fingerprint, VideoId
from storage.catalog import Catalog, open_catalog
from storage.files import HomeFolder

if TYPE_CHECKING:
    from engine.pipeline.engine import Engine


class ServiceContext:
    """One library with its model, for every thread of a process.

    A use case reads `settings` once, at its start: the snapshot never changes, but an admin may
    put another in its place while the server runs.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = SettingsStore(settings)
        self._catalog_lock = threading.Lock()
        self._catalog: Catalog | None = None
        # Worker, retention and requests share one engine: two would keep two indexes in memory,
        # and what the one has added the other would not find. A lock apart from the catalog's,
        # because everything else has to be answered while a model loads.
        self._engine_lock = threading.Lock()
        self._engine: Engine | None = None
        self._attached: dict[VideoId, Fingerprint] = {}

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._settings.current

    def change_settings(self, changes: Mapping[str, Value]) -> tuple[str, ...]:
        """Check and save settings, and use at once what needs no restart.

        Returns:
            A line for each setting that has changed.
        Raises:
            LongwatchError: As `SettingsStore.apply`.
        """
        return self._settings.apply(changes)

    @property
    def catalog(self) -> Catalog:
        """Everything that is written down."""
        with self._catalog_lock:
            if self._catalog is None:
                settings = self.settings
                HomeFolder(settings.home).create()
                self._catalog = open_catalog(
                    settings.catalog_url, busy_timeout_s=float(settings.database_wait_s)
                )
            return self._catalog

    @property
    def engine(self) -> "Engine":
        """The model with its memory; loading takes seconds."""
        with self._engine_lock:
            readings = self.catalog.videos.readings()
            if self._engine is None:
                # Late: torch, which everything but the model does without.
                from app.config.engine_config import choose_threads, engine_config
                from engine.pipeline.engine import assemble

                config = engine_config(self.settings)
                choose_threads(config.model.folder)
                self._engine = assemble(config, homes=readings)
            else:
                # Another process may have read a video anew since.
                for video, fingerprint in readings.items() - self._attached.items():
                    self._engine.attach(video, fingerprint)
            self._attached = readings
            return self._engine

    def has_damage(self) -> bool:
        """Tell whether chunks are known to be damaged; loads nothing."""
        if self._engine is not None and self._engine.left_out:
            return True
        return any(row.is_damaged for row in self.catalog.videos.list("failed"))

    def labels(self) -> VideoLabels:
        """Return the name and the wall clock of every video."""
        return {
            row.id: VideoLabel(name=row.name, start_at=row.start_at)
            for row in self.catalog.videos.list()
        }

    def close(self) -> None:
        """Give back connections; the context may be used again."""
        if self._catalog is not None:
            self._catalog.close()
