"""What a benchmark measures of a process of its own."""

import numpy as np
import pytest

from engine.evaluation.bench._process import forget_peak, in_fresh_process, peak_rss_bytes


def test_peak_of_a_fresh_process_leaves_out_what_its_parent_held() -> None:
    held = np.ones(1 << 27)
    assert peak_rss_bytes() > held.nbytes
    assert in_fresh_process(peak_rss_bytes) < held.nbytes


def test_peak_counts_from_where_the_one_before_is_forgotten() -> None:
    held = np.ones(1 << 27)
    n_bytes = held.nbytes
    del held
    before = forget_peak()
    if peak_rss_bytes() > before + n_bytes // 2:
        pytest.skip("this system cannot forget a peak")
    held = np.ones(1 << 26)
    assert held.nbytes <= peak_rss_bytes() - before < n_bytes
