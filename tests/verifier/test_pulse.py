"""How late heartbeats are: never less than the truth, but for what the contract forgives."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from watchword_verifier._pulse import Pulse

LEEWAY = 30.0
DELAYS = st.lists(st.floats(0, 120), min_size=1, max_size=20)


@given(DELAYS, st.floats(0, 20))
def test_an_attacker_gains_no_more_than_the_first_delay_and_the_drift(
    delays: list[float], ahead: float
) -> None:
    """However heartbeats are held back; with a wall clock that is right, or ahead."""
    pulse, received = Pulse(LEEWAY), 0.0
    for number, by in enumerate(delays):
        sent = float(number)
        received = max(received, sent + by)  # none overtakes another
        delay = pulse.delay(sent, monotonic=received, wall=received + ahead, trusted=False)
        pulse.keep_up(received, delay)
        true_age, told = received - sent, pulse.age(received)
        quickest = min(max(0.0, it) for it in delays[: number + 1])
        forgiven = 0.0005 * received + 1e-6
        assert told >= true_age - LEEWAY + min(ahead, LEEWAY) - 1e-6
        if number:
            assert told >= true_age - delays[0] - forgiven
            assert told <= true_age + ahead + 1e-6
        assert told >= 0
        assert true_age >= quickest - 1e-6


@given(DELAYS)
def test_what_is_trusted_is_not_late(delays: list[float]) -> None:
    pulse = Pulse(LEEWAY)
    for number, by in enumerate(delays):
        assert pulse.delay(number, monotonic=number + by, wall=number + by, trusted=True) == 0


def test_clocks_that_drift_apart_are_forgiven() -> None:
    """A day long, by 100 ppm, with a wall clock that nobody sets."""
    pulse = Pulse(LEEWAY)
    for second in range(0, 86_400, 600):
        sent = second * (1 - 0.0001)
        assert pulse.delay(sent, monotonic=second, wall=second + 20, trusted=False) < 21
    assert pulse.delay(86_400 * 0.9999, monotonic=86_400, wall=86_420, trusted=False) == 0


def test_a_suspended_machine_is_not_late() -> None:
    """Its monotonic clock stood still."""
    pulse = Pulse(LEEWAY)
    pulse.delay(0, monotonic=0, wall=0, trusted=False)
    assert pulse.delay(3600, monotonic=1, wall=3600, trusted=False) == 0
    assert pulse.delay(3601, monotonic=2, wall=3601, trusted=False) == 0


@pytest.mark.parametrize("held_back", [31.0, 60.0, 3600.0])
def test_whoever_holds_all_of_them_back_gains_the_leeway_and_no_more(held_back: float) -> None:
    """The first as long as all after it: only the wall clock can tell."""
    pulse = Pulse(LEEWAY)
    for sent in range(5):
        at = sent + held_back
        told = pulse.delay(sent, monotonic=at, wall=at, trusted=False)
        assert told == held_back - (LEEWAY if sent else 0)


def test_whoever_slows_them_down_as_clocks_may_drift_gains_the_leeway_and_no_more() -> None:
    """43 seconds a day are forgiven, but not day after day."""
    pulse = Pulse(LEEWAY)
    for hour in range(24 * 14):
        sent, at = hour * 3600, hour * 3600 * 1.0005
        assert pulse.delay(sent, monotonic=at, wall=at, trusted=False) >= at - sent - LEEWAY


@pytest.mark.parametrize("ahead", [0.0, -25.0])
def test_a_wall_clock_that_is_behind_forgives_as_much(ahead: float) -> None:
    pulse = Pulse(LEEWAY)
    pulse.delay(0, monotonic=0, wall=ahead, trusted=False)
    told = pulse.delay(1, monotonic=41, wall=41 + ahead, trusted=False)
    assert told == pytest.approx(40 + min(0, ahead), abs=0.1)


def test_a_new_epoch_is_another_clock() -> None:
    pulse = Pulse(LEEWAY)
    pulse.delay(1000, monotonic=0, wall=1000, trusted=False)
    assert pulse.delay(940, monotonic=1, wall=1001, trusted=False) > 59
    pulse.forget()
    assert pulse.delay(1001, monotonic=2, wall=1002, trusted=False) == 1


def test_falling_behind_is_not_keeping_up() -> None:
    pulse = Pulse(LEEWAY)
    assert pulse.age(5) == float("inf")
    pulse.keep_up(5, 2)
    pulse.keep_up(4, 0)
    assert pulse.age(6) == 2
    pulse.fall_behind()
    assert pulse.age(6) == float("inf")
