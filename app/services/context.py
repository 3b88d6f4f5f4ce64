"""The context that use cases share: settings, catalog and engine, each opened when needed.

The database is opened for everything, the model only for what reads, asks, searches or probes.
"""

import os
import platform
import secrets
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.config.settings import Settings
from app.config.settings_file import SettingsStore, Value
from app.schemas.common import LeftOutReason, VideoLabel, VideoLabels
from engine.cache.far import ALONE, FarFiles
from engine.records import Fingerprint, Scope, VideoId
from storage.catalog import Catalog, open_catalog
from storage.files import HomeFolder
from storage.records import VideoRow

if TYPE_CHECKING:
    from app.config.index_choice import IndexChoice
    from app.services.home_objects import HomeObjects
    from engine.cache.stills import StillStore
    from engine.pipeline.encoder_index import EncoderIndex
    from engine.pipeline.engine import Engine
    from engine.protocols import VideoModel
    from engine.sight.sentences import SentenceEncoder


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeLibrary:
    """The scope of a library where nothing is filtered, for as long as no row changes."""

    rows: Mapping[VideoId, VideoRow]
    scope: Scope


class ServiceContext:
    """One library with its model, for every thread of a process.

    A use case reads `settings` once, at its start: the snapshot never changes, but an admin may
    put another in its place while the server runs.
    """

    def __init__(self, settings: Settings, *, model: "VideoModel | None" = None) -> None:
        self._settings = SettingsStore(settings)
        self.process = f"{platform.node()}:{os.getpid()}:{secrets.token_hex(4)}"
        """Name of this process among all that share the library."""
        # Weights that are loaded already, of the same settings: they are large.
        self._model = model
        self._catalog_lock = threading.Lock()
        self._catalog: Catalog | None = None
        # Worker, retention and requests share one engine: two would keep two indexes in memory,
        # and what the one has added the other would not find. A lock apart from the catalog's,
        # because everything else has to be answered while a model loads.
        self._engine_lock = threading.Lock()
        self._engine: Engine | None = None
        self._attached: Mapping[VideoId, Fingerprint] = {}
        self._stills_lock = threading.Lock()
        self._stills: StillStore | None = None
        self._objects_lock = threading.Lock()
        self._objects: HomeObjects | None = None
        self._index_lock = threading.Lock()
        self._index_choice: IndexChoice | None = None
        self._encoders_lock = threading.Lock()
        self._encoders: tuple[EncoderIndex, ...] | None = None
        self.whole: WholeLibrary | None = None
        """As `resolve_scope` made it last."""

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

                config = engine_config(self.settings, self.index_choice)
                choose_threads(config.model.folder)
                self._engine = assemble(config, homes=readings, model=self._model, far=self.far)
            elif readings is not self._attached:
                # Another process may have read a video anew since.
                for video, fingerprint in readings.items() - self._attached.items():
                    self._engine.attach(video, fingerprint)
            self._attached = readings
            return self._engine

    @property
    def objects(self) -> "HomeObjects | None":
        """The object store behind the home folder; `None` where none is configured.

        Raises:
            MissingCapabilityError: Its package is not installed.
            SettingsError: Its address cannot be understood.
        """
        address = self.settings.objects.address
        if address is None:
            return None
        with self._objects_lock:
            if self._objects is None:
                # Late: of use only with an object store.
                from app.services.home_copies import waits_for_store
                from app.services.home_objects import HomeObjects
                from storage.object_store import ObjectStore

                self._objects = HomeObjects(
                    HomeFolder(self.settings.home),
                    ObjectStore(address, holds_some=self.catalog.objects.has_kept),
                    self.catalog.objects,
                    budget_bytes=int(self.settings.objects.cache_bytes),
                    waits=waits_for_store(self.catalog),
                )
            return self._objects

    @property
    def far(self) -> FarFiles:
        """The files that other machines share with this one; none without an object store."""
        return self.objects or ALONE

    @property
    def index_choice(self) -> "IndexChoice":
        """The place of vectors: one database for the model's and those of all encoders.

        Raises:
            LongwatchError: As `choose_index`.
        """
        with self._index_lock:
            if self._index_choice is None:
                # Late: the configuration of an engine, which a list of videos does without.
                from app.config.index_choice import choose_index

                self._index_choice = choose_index(self.settings)
            return self._index_choice

    @property
    def shares_steps(self) -> bool:
        """Whether answers of the loaded model decode in common steps; loads nothing."""
        # Without the lock, which is held while a model loads.
        engine = self._engine
        return engine is not None and engine.shares_steps

    @property
    def stills(self) -> "StillStore":
        """The sampled frames as small pictures; opens nothing."""
        with self._stills_lock:
            if self._stills is None:
                # Late: numpy and Pillow, which a list of videos does without.
                from engine.cache.stills import StillConfig, StillStore

                stills = self.settings.stills
                config = StillConfig(max_side_px=stills.max_side_px, quality=stills.quality)
                folder = HomeFolder(self.settings.home).still_chunks
                self._stills = StillStore(folder, config, far=self.far)
            return self._stills

    @property
    def encoders(self) -> "tuple[EncoderIndex, ...]":
        """The encoders of the setting `sight.encoder` with their indexes, the model's own left out.

        Raises:
            MissingCapabilityError: A package of weights is not installed.
            NotFoundError: A checkpoint is not on this machine.
        """
        with self._encoders_lock:
            if self._encoders is None:
                # Late: torch, which everything but search and encoding does without.
                from app.config.encoder_config import open_encoders

                self._encoders = open_encoders(self.settings, self.index_choice, far=self.far)
            return self._encoders

    @property
    def sentences(self) -> "SentenceEncoder":
        """The encoder of texts, for speech and print."""
        # Late: torch.
        from engine.sight.sentences import shared_encoder

        return shared_encoder()

    def has_damage(self) -> bool:
        """Tell whether chunks are known to be damaged; loads nothing."""
        if self._engine is not None and self._engine.left_out:
            return True
        return any(row.is_damaged for row in self.catalog.videos.list("failed"))

    def labels(self) -> VideoLabels:
        """Return the facts of every video that stand beside a span of it."""
        return _Labels(self, self.catalog.videos.by_id())

    def label(self, row: VideoRow) -> VideoLabel:
        """Return the facts of a video that stand beside a span of it."""
        return VideoLabel(
            name=row.name,
            start_at=row.start_at,
            left_out_because=self._left_out_because(row),
            start_source=row.start_source,
            zone=self.settings.media.zone(row.timezone),
        )

    def _left_out_because(self, row: VideoRow) -> LeftOutReason:
        if not self._is_searched(row):
            return "other_model"
        engine = self._engine
        is_away = engine is not None and any(video == row.id for video, _ in engine.away)
        return "away" if is_away else "damaged"

    def _is_searched(self, row: VideoRow) -> bool:
        """Tell whether the loaded model reads what was read of a video; so until one is loaded."""
        engine = self._engine
        return engine is None or engine.cache.pipeline_of(row.id) == row.fingerprint

    def close(self) -> None:
        """Give back connections, once nothing is under way; the context may be used again."""
        if self._engine is not None:
            self._engine.settle()
        if self._index_choice is not None and self._index_choice.tables is not None:
            self._index_choice.tables.close()
        if self._catalog is not None:
            self._catalog.close()


class _Labels(Mapping[VideoId, VideoLabel]):
    """The labels of a library, each made when it is asked for: results name a few of thousands."""

    def __init__(self, context: ServiceContext, rows: Mapping[VideoId, VideoRow]) -> None:
        self._context = context
        self._rows = rows

    def __getitem__(self, video: VideoId) -> VideoLabel:
        row = self._rows[video]
        if row.status == "removing":
            raise KeyError(video)
        return self._context.label(row)

    def __iter__(self) -> Iterator[VideoId]:
        return (video for video, row in self._rows.items() if row.status != "removing")

    def __len__(self) -> int:
        return sum(1 for _ in self)
