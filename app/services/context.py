"""The context that use cases share: settings, catalog and engine, each opened when needed.

The database is opened for everything, the model only for what reads, asks, searches or probes.
"""

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.config.settings import Settings
from app.config.settings_file import SettingsStore, Value
from app.schemas.common import VideoLabel, VideoLabels
from engine.records import Fingerprint, Scope, VideoId
from storage.catalog import Catalog, open_catalog
from storage.files import HomeFolder
from storage.records import VideoRow

if TYPE_CHECKING:
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

                config = engine_config(self.settings)
                choose_threads(config.model.folder)
                self._engine = assemble(config, homes=readings, model=self._model)
            elif readings is not self._attached:
                # Another process may have read a video anew since.
                for video, fingerprint in readings.items() - self._attached.items():
                    self._engine.attach(video, fingerprint)
            self._attached = readings
            return self._engine

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
                self._stills = StillStore(HomeFolder(self.settings.home).still_chunks, config)
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

                self._encoders = open_encoders(self.settings)
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
            left_out_because="damaged" if self._is_searched(row) else "other_model",
            start_source=row.start_source,
            zone=self.settings.media.zone(row.timezone),
        )

    def _is_searched(self, row: VideoRow) -> bool:
        """Tell whether the loaded model reads what was read of a video; so until one is loaded."""
        engine = self._engine
        return engine is None or engine.cache.pipeline_of(row.id) == row.fingerprint

    def close(self) -> None:
        """Give back connections, once nothing is under way; the context may be used again."""
        if self._engine is not None:
            self._engine.settle()
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
