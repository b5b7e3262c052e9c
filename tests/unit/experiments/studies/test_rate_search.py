"""The search for learning rates goes where the best of them is."""

import pytest

from neurohw.experiments.studies import rate_search
from neurohw.learning import rules


def test_the_search_goes_on_beyond_the_end_at_which_the_best_is():
    candidate = rate_search.Candidate(rules.find("bp"), "ideal")
    candidate.searched = {1 / 3: 0.5, 1.0: 0.4, 3.0: 0.3}
    assert rate_search._further(candidate, 0.855) == [9.0]
    candidate.searched = {1 / 3: 0.5, 1.0: 0.4, 3.0: 0.45}
    assert rate_search._further(candidate, 0.855) == []
    candidate.searched = {1 / 3: 1.0, 1.0: 1.0, 3.0: 1.0}
    assert rate_search._further(candidate, 0.855) == pytest.approx([1 / 9])
    candidate.searched = {3.0**k: 0.5 / (k + 2) for k in range(rate_search.MOST)}
    assert rate_search._further(candidate, 0.855) == []


def test_where_no_rate_teaches_anything_smaller_ones_are_tried():
    candidate = rate_search.Candidate(rules.find("ep"), "pcm")
    candidate.searched = {1 / 3: 0.903, 1.0: 0.896, 3.0: 0.896}
    assert candidate.best == 3.0
    assert rate_search._further(candidate, 0.855) == pytest.approx([1 / 9])
    candidate.searched[1 / 9] = 0.5
    assert rate_search._further(candidate, 0.855) == pytest.approx([1 / 27])
