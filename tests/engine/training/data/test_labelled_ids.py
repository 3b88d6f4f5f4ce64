"""Ids and labels stay side by side."""

from engine.models.layers.splice import IGNORED_LABEL, PLACEHOLDER_ID
from engine.training.data.labelled_ids import LabelledIds


def test_targets_are_their_own_labels_and_everything_else_is_ignored() -> None:
    text = LabelledIds()
    text.add_context([1, 2])
    text.add_visual(2)
    text.add_target([3])
    ids, labels = text.tensors()
    assert ids.tolist() == [1, 2, PLACEHOLDER_ID, PLACEHOLDER_ID, 3]
    assert labels.tolist() == [IGNORED_LABEL] * 4 + [3]


def test_a_text_that_is_too_long_is_cut_with_its_labels() -> None:
    text, more = LabelledIds(), LabelledIds()
    more.add_context([1])
    more.add_target([2, 3, 4])
    text.extend(more, 3)
    assert (text.ids, text.labels) == ([1, 2, 3], [IGNORED_LABEL, 2, 3])
    assert more.ids == [1, 2, 3, 4]
