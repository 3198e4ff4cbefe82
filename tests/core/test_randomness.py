"""Random generators keyed by their use."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vssl.core.randomness import below, first_words, generator_for

keys = st.tuples(st.integers(0, 2**63), st.text(max_size=9), st.integers(0, 9))
# a number of 2 ** 31 and more often takes several words
counts = st.one_of(st.integers(1, 500), st.integers(2**31, 2**32 - 1))


@given(keys=st.lists(keys, max_size=5), counts=st.tuples(counts, counts))
def test_words_give_the_numbers_of_the_generator(
    keys: list[tuple[int, str, int]], counts: tuple[int, int]
) -> None:
    words = first_words(keys)
    assert words.shape == (len(keys), 2)
    for key, known in zip(keys, words.tolist(), strict=True):
        generator = generator_for(*key)
        assert generator.integers(2**32, size=2).tolist() == known
        generator, left = generator_for(*key), iter(known)
        for count in counts:
            expected = generator.integers(count)
            try:
                found = below(left, count)
            except StopIteration:  # both words are used, and the generator goes on
                break
            assert found == expected
