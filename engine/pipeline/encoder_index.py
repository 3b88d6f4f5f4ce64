"""One image-text encoder with its vectors and its index: apart from the model that answers."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from engine.cache.far import ALONE, FarFiles
from engine.cache.stills import Still, StillStore
from engine.cache.vectors import StillVectors, VectorStore
from engine.errors import CorruptStillsError, NotFoundError, UnreachableError
from engine.pipeline.follow import Followed, follow
from engine.pipeline.open_index import open_index
from engine.protocols import ImageTextEncoder, VectorIndex
from engine.records import ChunkRef, TimeSpan, VideoId
from engine.tensors import ChunkVectors
from engine.vector_rows import VectorTables

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderIndex:
    """An encoder, the vectors that it made of stills, and their index.

    Safe to search from one thread while another encodes.
    """

    encoder: ImageTextEncoder
    vectors: VectorStore
    index: VectorIndex
    index_path: Path
    _followed: Followed = field(default_factory=Followed, repr=False)

    def missing(self, stills: StillStore, video: VideoId) -> tuple[int, ...]:
        """Return the chunks whose stills have no vectors yet; nothing is opened."""
        encoded = set(self.vectors.ordinals(video))
        return tuple(ordinal for ordinal in stills.ordinals(video) if ordinal not in encoded)

    def is_stale(self, stills: StillStore, video: VideoId) -> bool:
        """Return whether the stills were sampled anew since: all of a video, or none.

        Cost: two headers.
        """
        for ordinal in reversed(self.vectors.ordinals(video)):
            try:
                reading = stills.header(video, ordinal).reading
            except CorruptStillsError:
                continue
            return self.vectors.reading(video, ordinal) != reading
        return False

    def encode(
        self,
        stills: StillStore,
        video: VideoId,
        ordinal: int,
        *,
        check: Callable[[], object] = lambda: None,
    ) -> ChunkRef | None:
        """Make the vectors of a chunk's stills; `None` where the stills are gone or damaged.

        Args:
            check: Called right before they are written; nothing is where it raises.
        Raises:
            DiskFullError: No space for the vectors.
        """
        try:
            header = stills.header(video, ordinal)
            pictures: Sequence[Still] = stills.read(video, ordinal)
        except (CorruptStillsError, NotFoundError) as error:
            _log.warning("without vectors: %s", error)
            return None
        pts_s = torch.tensor([still.pts_s for still in pictures], dtype=torch.float64)
        vectors = self.encoder.encode_images([still.pixels() for still in pictures])
        end_s = max(header.end_s, float(pts_s[-1]))
        chunk = ChunkRef(
            video=video, ordinal=ordinal, span=TimeSpan(start_s=float(pts_s[0]), end_s=end_s)
        )
        check()
        self.vectors.put(
            StillVectors(chunk=chunk, reading=header.reading, vectors=vectors, pts_s=pts_s)
        )
        return chunk

    def refresh(self, videos: Iterable[VideoId] | None = None) -> None:
        """Bring the index up to the vectors on disk, whichever process wrote them.

        Args:
            videos: Only these; `None` looks at all, and drops those that are gone.
        Cost: one look at each video's folder, or at none where nobody has written since the last;
            only new chunks are opened.
        """
        follow(self.index, self.vectors, self._followed, self._catch_up, videos)

    def trust_marks(self) -> None:
        """Take over from a saved index which videos it holds whole."""
        self._followed.at_ns.update(self.index.marks)

    def drop_stale(self, stills: StillStore, video: VideoId) -> None:
        """Delete vectors of chunks that have no stills any more."""
        kept = set(stills.ordinals(video))
        for ordinal in self.vectors.ordinals(video):
            if ordinal not in kept:
                self.vectors.drop(video, ordinal)

    def forget(self, video: VideoId) -> None:
        """Delete the vectors of a video."""
        self.vectors.forget(video)
        self.index.remove(video)
        self._followed.forget(video)
        self.save()

    def rebuild(self, video: VideoId) -> None:
        """Read the vectors of a video into the index anew, whatever it holds."""
        self.index.remove(video)
        self._followed.forget(video)
        self.refresh([video])

    def save(self) -> None:
        """Save the index, so that the next process opens one file instead of one per chunk."""
        marks = dict(self._followed.at_ns)
        self.index.save(self.index_path, self.encoder.card.fingerprint, marks)

    def _catch_up(self, video: VideoId) -> bool:
        # In this order: what another thread commits in between is on disk before it is indexed.
        refs = self.index.refs()
        indexed = set(refs.ordinals[refs.of_video(video)].tolist())
        on_disk = set(self.vectors.ordinals(video))
        if indexed - on_disk:
            self.index.remove(video)
            indexed = set()
        away: list[UnreachableError] = []

        def readable() -> Iterator[ChunkVectors]:
            for ordinal in sorted(on_disk - indexed):
                try:
                    stored = self.vectors.get(video, ordinal)
                except UnreachableError as error:
                    # Searches say that they leave it out; the next one tries again.
                    _log.warning("left out of the index for now: %s", error)
                    away.append(error)
                    return
                if stored is not None:
                    yield stored.chunk, stored.vectors.float(), stored.pts_s

        self.index.add(readable())
        return not away


def open_encoder_index(
    encoder: ImageTextEncoder,
    *,
    vectors_folder: Path,
    index_folder: Path,
    backend: str,
    tables: VectorTables | None = None,
    far: FarFiles = ALONE,
) -> EncoderIndex:
    """Open the vectors and the index of an encoder, and catch up with what is on disk.

    Args:
        encoder: Loaded.
        vectors_folder: Of all encoders.
        index_folder: Of all indexes.
        backend: A module of `engine/index`.
        tables: The database, for a backend that keeps vectors in one.
        far: The store of vectors that other machines share; none without.
    """
    card = encoder.card
    path = index_folder / f"{card.fingerprint}.index"
    encoder_index = EncoderIndex(
        encoder=encoder,
        vectors=VectorStore(vectors_folder, card.fingerprint, far=far),
        index=open_index(backend, card.dim, path, card.fingerprint, tables),
        index_path=path,
    )
    encoder_index.trust_marks()
    encoder_index.refresh()
    return encoder_index
