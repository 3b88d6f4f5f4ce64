"""A model family of your own (`VideoModel`): it sees how red a frame is, and nothing else."""

from functools import partial
from types import SimpleNamespace

import torch
from ingest_and_ask import read_and_ask
from torch.nn.functional import normalize

from engine.pipeline.engine import assemble
from engine.records import Fingerprint, ModelCard
from engine.tensors import Token, TokenLatents, VisualTokens

SIZES = {"chunk_frames": 4, "tokens_per_frame": 1, "compression_ratio": 1, "latent_bytes": 8}


class Redness:
    card = ModelCard(
        **SIZES,
        family="redness",
        variant="example",
        fingerprint=Fingerprint("0001"),
        vector_dim=2,
        max_positions=4096,
    )

    def encode(self, frames):
        red, *others = frames.pixels.float().div(255).unbind(dim=1)
        excess = (red - torch.stack(others).amax(dim=0)).clamp(min=0).flatten(1)
        share = excess.gt(0.3).float().mean(dim=1)  # of the pixels that are clearly red
        vectors = normalize(torch.stack([50 * share, torch.ones_like(share)], dim=1))
        return VisualTokens(embeddings=vectors[:, None], frame_vectors=vectors, pts_s=frames.pts_s)

    def open_stream(self, past=(), *, compression_ratio=None, max_past_latents=None):
        return SimpleNamespace(compression_ratio=1, remember=lambda latents: None)

    def compress(self, tokens, stream):
        return TokenLatents(embeddings=tokens.embeddings.flatten(0, 1))

    def embed_text(self, text):
        return torch.tensor([1.0, 0.0] if "red" in text else [0.0, 1.0])

    def attend(self, question, candidates):
        wanted = self.embed_text(question)
        return torch.stack([(chunk.frame_vectors @ wanted).max() for chunk in candidates])

    def generate(self, question, recalled, sampling, *, history=()):
        redness = max(float(chunk.latents.embeddings[:, 0].max()) for chunk in recalled)
        yield Token(text="Something red." if redness > 0.3 else "Nothing red.", chunk_mass=None)


if __name__ == "__main__":
    read_and_ask(partial(assemble, model=Redness()), "When is something red seen?")
