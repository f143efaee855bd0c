from afina.search.untried import all_tried, listed
from afina.space import Boolean, Int, Parent, Space


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
