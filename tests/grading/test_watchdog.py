from virtlab.grading.watchdog import Watchdog, WatchdogLimits

LIMITS = WatchdogLimits(cpu_s=10, blocked_s=10, real_s=120)


def test_a_program_that_gives_signs_of_life_is_never_stuck() -> None:
    watchdog = Watchdog(LIMITS)

    stalls = [watchdog.look(sign_of_life=n, real_s=50.0 * n, cpu_s=15.0 * n) for n in range(20)]

    assert stalls == [None] * 20


def test_a_program_that_computes_without_a_call_is_stuck_by_its_processor_time() -> None:
    watchdog = Watchdog(LIMITS)
    watchdog.look(sign_of_life=1, real_s=0, cpu_s=5)

    early = watchdog.look(sign_of_life=1, real_s=12, cpu_s=14.9)
    late = watchdog.look(sign_of_life=1, real_s=13, cpu_s=15.1)

    assert early is None
    assert late is not None
    assert late.what == "it computed for 10 s without a libvirt call or a sleep"


def test_a_slow_machine_is_not_taken_for_a_stuck_program() -> None:
    watchdog = Watchdog(LIMITS)
    watchdog.look(sign_of_life=1, real_s=0, cpu_s=0)

    # A tenth of a processor: it computes all the time, and gets little.
    stalls = [watchdog.look(sign_of_life=1, real_s=t, cpu_s=t / 10) for t in range(1, 90)]

    assert stalls == [None] * 89


def test_a_program_that_is_blocked_is_stuck_by_real_time() -> None:
    watchdog = Watchdog(LIMITS)
    watchdog.look(sign_of_life=1, real_s=0, cpu_s=3)

    early = watchdog.look(sign_of_life=1, real_s=9.9, cpu_s=3)
    late = watchdog.look(sign_of_life=1, real_s=10.1, cpu_s=3)

    assert early is None
    assert late is not None
    assert late.what == "it was blocked for 10 s on something that cannot come"


def test_real_time_is_bounded_in_the_end() -> None:
    watchdog = Watchdog(LIMITS)
    watchdog.look(sign_of_life=1, real_s=0, cpu_s=0)

    stalls = [watchdog.look(sign_of_life=1, real_s=t, cpu_s=t / 100) for t in range(1, 122)]

    assert stalls[:120] == [None] * 120
    assert stalls[120] is not None
    assert stalls[120].what == "it gave no sign of life for 120 s"


def test_a_run_may_not_compute_for_ever_though_it_gives_signs_of_life() -> None:
    watchdog = Watchdog(LIMITS)

    stalls = [watchdog.look(sign_of_life=n, real_s=n, cpu_s=n) for n in range(302)]

    assert stalls[:301] == [None] * 301
    assert stalls[301] is not None
    assert stalls[301].what == "it computed for more than 300 s in all"


def test_a_run_may_not_wait_for_ever_though_it_gives_signs_of_life() -> None:
    watchdog = Watchdog(LIMITS)

    stalls = [watchdog.look(sign_of_life=n, real_s=n, cpu_s=0) for n in range(302)]

    assert stalls[:301] == [None] * 301
    assert stalls[301] is not None
    assert stalls[301].what == "its waits took more than 300 s of real time in all"


def test_a_machine_under_heavy_load_costs_no_run() -> None:
    watchdog = Watchdog(LIMITS)

    # Program and lab get a twentieth of a processor together, for an hour and a half.
    looks = ((n, n / 40, 50 + n / 40) for n in range(5_400))
    stalls = [
        watchdog.look(sign_of_life=int(real), real_s=real, cpu_s=cpu, lab_cpu_s=lab)
        for real, cpu, lab in looks
    ]

    assert stalls == [None] * 5_400


def test_where_real_time_ends_the_run_only_computing_between_calls_is_bounded() -> None:
    watchdog = Watchdog(LIMITS.in_real_time())

    stalls = [watchdog.look(sign_of_life=n // 9, real_s=1000 * n, cpu_s=n) for n in range(2_000)]

    assert stalls == [None] * 2_000
