"""Decoders whose head is their embedding table, and checkpoints that store a head all the same."""

from pathlib import Path

import torch

from engine.errors import WeightsError
from engine.models.layers.weights import KeyMap, read_tensors

HEAD = "lm_head.weight"


def tied_key_map(
    key_map: KeyMap,
    folder: Path,
    *,
    embedding: str = "model.embed_tokens.weight",
    prefix: str = "",
) -> KeyMap:
    """Return a key map under which a stored copy of the embedding is dropped.

    Args:
        key_map: Of the net.
        folder: With the decoder's weights.
        embedding: Released name of the table.
        prefix: Stands before the released names in the map alone.
    Raises:
        WeightsError: The stored head is no copy, so that it is unclear which of the two counts.
    Cost: where a head is stored, both tables are read once more.
    """
    pair = {HEAD, embedding}
    tensors = dict(read_tensors(folder, wanted=pair.__contains__))
    # Where headers alone are read, values cannot differ.
    is_other = (
        len(tensors) == 2 and not tensors[HEAD].is_meta and not torch.equal(*tensors.values())
    )
    if is_other:
        raise WeightsError(f"{folder} ties its head to its embeddings, but holds another head")
    return ((f"{prefix}{HEAD}", ""), *key_map)
