import signal

from virtlab.grading.ending import EndLadder


def test_the_signals_get_harder_and_each_comes_with_time_to_react() -> None:
    sent: list[signal.Signals] = []
    allowed: list[int] = []
    ladder = EndLadder(sent.append, allowed.append)

    for now_ns in (30, 33, 36, 39):
        ladder.step(now_ns, 3)

    assert sent == [signal.SIGINT, signal.SIGTERM, signal.SIGKILL]
    assert allowed == [33, 36, 39]


def test_a_program_that_leaves_at_sigint_gives_no_cause_for_a_note() -> None:
    ladder = EndLadder(lambda _signal: None, lambda _until: None)

    ladder.step(30, 3)

    assert ladder.begun
    assert ladder.notes() == ()


def test_a_program_that_swallows_sigint_is_told() -> None:
    ladder = EndLadder(lambda _signal: None, lambda _until: None)

    ladder.step(30, 3)
    ladder.step(33, 3)
    term = ladder.notes()
    ladder.step(36, 3)

    assert term == ("It ignored SIGINT (Ctrl-C) at the end and was ended by SIGTERM.",)
    assert ladder.notes() == ("It ignored SIGINT and SIGTERM at the end and had to be killed.",)
