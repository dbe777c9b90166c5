import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from virtlab.policies.coordination.esx_funding import Client, allotted, price

NO_BOUND = 1 << 40


def client(
    name: str, shares: int, active: float, least: float = 0, most: float = NO_BOUND
) -> Client:
    return Client(name, shares, active, least, most)


def at_price(one: Client, asked: float, tax: float) -> float:
    """Return what a guest has that pays so much: P = A + (S/l - A)/k, or S/l below A."""
    paid_for = one.shares / asked
    if paid_for > one.active:
        paid_for = one.active + (paid_for - one.active) * (1 - tax)
    return min(max(paid_for, one.least), one.most)


def closed_form(clients: list[Client], total: float, tax: float) -> dict[str, float]:
    """Return the sizes at which all that are not at a bound pay one price."""
    low, high = 1e-12, 1e12
    for _ in range(200):
        middle = (low * high) ** 0.5
        if sum(at_price(one, middle, tax) for one in clients) > total:
            low = middle
        else:
            high = middle
    return {one.name: at_price(one, high, tax) for one in clients}


@pytest.mark.parametrize(
    ("shares", "active", "pays"), [(1000, 1024, 0.977), (1000, 256, 0.300), (2000, 0, 0.488)]
)
def test_idle_pages_cost_four_times_as_much(shares: int, active: float, pays: float) -> None:
    assert price(client("a", shares, active), 1024, 0.75) == pytest.approx(pays, abs=0.0005)


def test_steps_go_from_the_cheaper_until_that_would_turn_round() -> None:
    clients = [client("a", 1, 1000), client("b", 1, 200)]

    assert allotted(clients, {"a": 768, "b": 768}, 0, 64, 0.75) == {"a": 1024, "b": 512}
    # Smaller steps come nearer to the closed form, 1068 and 468.
    assert allotted(clients, {"a": 768, "b": 768}, 0, 1, 0.75) == {"a": 1068, "b": 468}


@pytest.mark.parametrize(
    ("tax", "active", "idle_mib", "busy_mib"),
    [(0.0, 0, 179, 179), (0.75, 0, 71.6, 286.4), (0.75, 20, 83.6, 274.4), (0.75, 40, 95.6, 262.4)],
)
def test_the_papers_two_guests_come_to_what_the_formula_says(
    tax: float, active: float, idle_mib: float, busy_mib: float
) -> None:
    """Two guests of equal shares and 358 MiB for them; one is idle, one uses all it gets."""
    clients = [client("idle", 1, active), client("busy", 1, NO_BOUND)]

    exact = closed_form(clients, 358, tax)
    steps = allotted(clients, {"idle": 179, "busy": 179}, 0, 1, tax)

    assert exact == pytest.approx({"idle": idle_mib, "busy": busy_mib})
    assert steps == pytest.approx(exact, abs=1.0)


def test_a_guest_at_its_maximum_leaves_the_rest_to_the_other() -> None:
    clients = [client("idle", 1, 40, most=256), client("busy", 1, NO_BOUND, most=256)]

    assert allotted(clients, {"idle": 179, "busy": 179}, 0, 1, 0.75) == {"idle": 102, "busy": 256}


clients_of_any_kind = st.lists(
    st.builds(
        lambda shares, active, least, room: (shares, active, least, least + room),
        st.integers(1, 4000), st.integers(0, 4000), st.integers(1, 500), st.integers(0, 4000),
    ),
    min_size=1, max_size=6,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(clients_of_any_kind, st.integers(-2000, 4000), st.sampled_from([0.0, 0.5, 0.75, 0.95]))
@example([(1, 0, 1, 1), (1, 0, 1, 2)], 5, 0.75)
@example([(213, 0, 41, 47), (2878, 0, 289, 1393), (3489, 0, 1, 1097)], 0, 0.0)
@example(
    [
        (1615, 210, 71, 327),
        (4000, 496, 45, 541),
        (746, 27, 13, 233),
        (2732, 82, 329, 571),
        (1615, 210, 71, 327),
    ],
    -275,
    0.95,
)
def test_small_steps_lead_to_one_price_and_lose_no_memory(
    guests: list[tuple[int, int, int, int]], free: int, tax: float
) -> None:
    clients = [client(f"g{n}", *one) for n, one in enumerate(guests)]
    sizes = {one.name: int(one.least + one.most) // 2 for one in clients}

    after = allotted(clients, sizes, free, 1, tax)

    total = sum(after.values())
    assert all(one.least <= after[one.name] <= one.most for one in clients)
    if total < sum(one.most for one in clients) and total > sum(one.least for one in clients):
        assert total == sum(sizes.values()) + free
    exact = closed_form(clients, total, tax)
    # A step changes the price of a small guest by more than that of a large one, and one of taxed
    # memory counts for as many of memory in use as the tax says.
    cost = 1 / (1 - tax)
    ratio = max(after.values()) / max(min(after.values()), 1)
    assert after == pytest.approx(exact, abs=(1 + cost) * (len(clients) + ratio))


@settings(max_examples=60, deadline=None)
@given(clients_of_any_kind, st.integers(0, 4000))
def test_what_is_settled_stays_as_it_is(guests: list[tuple[int, int, int, int]], free: int) -> None:
    clients = [client(f"g{n}", *one) for n, one in enumerate(guests)]
    settled = allotted(clients, {one.name: int(one.least) for one in clients}, free, 16, 0.75)

    assert allotted(clients, settled, 0, 16, 0.75) == settled
