from afina.study.known import KnownTrials
from afina.trials import Trial


def test_what_runs_is_not_remembered_as_it_was_before_a_change():
    """Who shows a search asks for it without the search's lock."""
    known = KnownTrials()

    class Changing(dict):
        def __getitem__(self, number):
            if len(self) == 2:  # another thread begins a trial meanwhile
                known.write(Trial(number=2, values={}))
            return super().__getitem__(number)

    known.open = Changing()
    for number in range(2):
        known.write(Trial(number=number, values={}))
    assert len(known.running) == 2
    assert [trial.number for trial in known.running] == [0, 1, 2]
