"""Values set by hand before a build."""

import warnings

import afina as kt


class Net(kt.HyperModel):
    def build(self, hp):
        return hp.Int("units", 8, 64)


def test_what_is_defined_by_hand_overrides_what_a_build_says():
    hp = kt.HyperParameters()
    hp.Fixed("units", 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Net().build(hp) == 2
        assert Net().build(hp) == 2


def test_what_one_build_says_does_not_bind_the_next():
    hp = kt.HyperParameters()
    for top in (5, 9):
        hp.start_build()
        hp.Int("units", 1, top)
    assert hp.space[0].max_value == 9
