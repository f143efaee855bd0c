from afina.search import Situation
from afina.search.untried import all_tried, listed, running_keys
from afina.space import Boolean, Int, Parent, Space
from afina.trials import Trial


def test_a_name_that_two_entries_share_has_one_value_in_each_listed_configuration():
    always = [Parent("kind", [True, False])]
    space = Space(
        (
            Boolean("kind"),
            Int("depth", 1, 3, conditions=[Parent("kind", True)]),
            Int("depth", 1, 2, conditions=always),  # where the other is not active
        )
    )
    rows = listed(space)
    assert len(rows) == len({key for key, _ in rows}) == space.size() == 5
    assert all_tried(space) == "all 5 combinations have been tried"


def test_the_keys_of_running_trials_are_those_of_these_trials_and_of_this_space():
    space, other = Space((Int("a", 1, 9),)), Space((Int("a", 1, 9), Boolean("b")))

    def keys(numbers, of=space):
        running = tuple(trials[number] for number in numbers)
        return running_keys(Situation(number=9, space=of, running=running))

    trials = [Trial(number=number, values={"a": 2 + number}) for number in range(4)]
    alone = [keys([number]) for number in range(4)]
    assert len(set.union(*alone)) == 4
    for numbers in ([0], [0, 1], [0, 1, 2], [0, 2], [0, 2, 3], [3], []):
        found = keys(numbers)
        assert found == set().union(*(alone[number] for number in numbers))
        found.clear()  # each answer is its own
    trials[0] = Trial(number=0, values={"a": 9})
    assert keys([0, 1]) != alone[0] | alone[1]
    trials[0] = Trial(number=0, values={"a": 2, "b": True})
    assert keys([0]) == alone[0]
    assert keys([0], other) != alone[0]
