"""What `seed_tables.toml` says is what is printed, in the order in which it is printed."""

import pytest

from deploy.local.seedtables import EXCHANGE, OPERATIONS, Printed
from tests.schemas.seed import needs_seed, page

pytestmark = needs_seed
OF_COLUMNS = (12, 13, 18)


def test_page_8_is_transcribed_as_it_is_printed() -> None:
    lines = [" ".join(cells).replace("↑", "?").strip() for cells in (EXCHANGE.heading, *EXCHANGE.rows)]
    assert page(EXCHANGE.page) == " ".join(["INFORMATON EXCHANGE", *lines])


@pytest.mark.parametrize("printed", [one for one in OPERATIONS if one.page not in OF_COLUMNS], ids=lambda one: one.page)
def test_a_table_of_seizures_is_transcribed_as_it_is_printed(printed: Printed) -> None:
    text = page(printed.page)
    assert text.upper().startswith(f"{printed.name} {printed.year} SEIZURES")
    assert text.endswith(" ".join(word for cells in (printed.heading, *printed.rows) for word in cells))


@pytest.mark.parametrize("printed", [one for one in OPERATIONS if one.page in OF_COLUMNS], ids=lambda one: one.page)
def test_a_table_of_indicators_is_transcribed_as_it_is_printed(printed: Printed) -> None:
    text = " ".join(page(printed.page).replace("-", " ").split())
    labels, cells = zip(*printed.rows, strict=True)
    assert text.startswith(f"{printed.name} {printed.year}")
    assert text.endswith(f"{' '.join(labels)} {' '.join(cells)}")
