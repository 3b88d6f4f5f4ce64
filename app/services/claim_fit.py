"""The threshold of an encoder's claims, fitted on footage with truth and stated on the rest."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from app.config.engine_config import find_model
from app.progress import ProgressCallback, ProgressUpdate, no_progress
from app.schemas.footage import ClaimResponse
from app.services.context import ServiceContext
from app.services.footage_eval import share_item
from engine.errors import InputRefusedError
from engine.evaluation.footage import FootageSearch
from engine.pipeline.encoder_index import EncoderIndex
from engine.pipeline.still_search import surest_still
from engine.records import ALL_TIME, VideoId
from engine.sight.claims import ClaimPair, count_claimed, fit_claim, write_claim
from engine.sight.tower_encoder import TowerEncoder


def checkpoint_folder(context: ServiceContext, name: str) -> Path:
    """Return the folder of an encoder's checkpoint.

    Args:
        name: As in the setting `sight.encoder`.
    Raises:
        InputRefusedError: An encoder without a checkpoint, whose claims are its own.
        NotFoundError: The checkpoint is not on this machine.
    """
    kind, _, checkpoint = name.partition(":")
    if not checkpoint:
        raise InputRefusedError(
            f"{kind!r} names no checkpoint, beside which a threshold could lie",
            hint="name an encoder with its checkpoint, as the setting sight.encoder does",
        )
    return find_model(checkpoint, context.settings)


def fit_encoder(
    context: ServiceContext,
    name: str,
    searches: Sequence[FootageSearch],
    library: Mapping[Path, str],
    *,
    report: ProgressCallback = no_progress,
) -> ClaimResponse:
    """Fit on every second phrase, state the others, and write the threshold beside the weights.

    Args:
        context: Of a library whose only encoder this is.
        name: Of the encoder, as in the setting `sight.encoder`.
        searches: With where they are true.
        library: Every recording that counts, and its id.
    Raises:
        InputRefusedError: Too few phrases and recordings.
    """
    folder = checkpoint_folder(context, name)
    (encoder_index,) = context.encoders
    encoder = encoder_index.encoder
    assert isinstance(encoder, TowerEncoder), "an encoder with a checkpoint"
    groups: tuple[list[ClaimPair], list[ClaimPair]] = ([], [])
    for idx, phrase in enumerate(searches):
        report(ProgressUpdate(what="phrases", done=idx, total=len(searches), note=phrase.query))
        groups[idx % 2].extend(_pairs(encoder_index, phrase, library))
    fitted = fit_claim(groups[0], claim=encoder.claim)
    stated = count_claimed(groups[1], lifted_by=fitted.claim - encoder.claim)
    shares = {is_present: share_item(*counts) for is_present, counts in stated.items()}
    fitted = replace(fitted, present_claimed=shares[True].value, absent_claimed=shares[False].value)
    return ClaimResponse(
        encoder=name,
        claim=fitted.claim,
        before=encoder.claim,
        recordings=len(library),
        searches=len(searches),
        present_claimed=shares[True],
        absent_claimed=shares[False],
        file=str(write_claim(folder, fitted)),
    )


def _pairs(
    encoder_index: EncoderIndex, phrase: FootageSearch, library: Mapping[Path, str]
) -> list[ClaimPair]:
    """Return how sure an encoder is of a phrase in each recording that has stills."""
    pairs = []
    for path, video in library.items():
        scope = [(VideoId(video), ALL_TIME)]
        log_odds = surest_still(encoder_index, phrase.query, scope=scope)
        if log_odds is not None:
            pairs.append(ClaimPair(log_odds=log_odds, is_present=path in phrase.truth))
    return pairs
