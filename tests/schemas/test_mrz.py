"""Machine readable zones: the specimens of ICAO Doc 9303 hold, and no digit of them may be another."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.mrz import MrzInvalid, check_digit, validate

# The specimens of parts 4 to 7; "TD1 long" is the one with a number of more than nine characters.
SPECIMENS = {
    "TD1": """
        I<UTOD231458907<<<<<<<<<<<<<<<
        7408122F1204159UTO<<<<<<<<<<<6
        ERIKSSON<<ANNA<MARIA<<<<<<<<<<""",
    "TD1 long": """
        I<UTOD23145890<7349<<<<<<<<<<<
        3407127M9507122UTO<<<<<<<<<<<2
        STEVENSON<<PETER<JOHN<<<<<<<<<""",
    "TD2": """
        I<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<
        D231458907UTO7408122F1204159<<<<<<<6""",
    "TD3": """
        P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<
        L898902C36UTO7408122F1204159ZE184226B<<<<<10""",
    "MRV-A": """
        V<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<
        L8988901C4XXX4009078F96121096ZE184226B<<<<<<""",
    "MRV-B": """
        V<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<
        L8988901C4XXX4009078F9612109<<<<<<<<""",
}
# Of part 3, appendix A to section 4.9: dates, and numbers with a filler.
DIGITS = {"520727": "3", "AB2134<<<": "5", "HA672242<658022549601086<<<<<<<<<<<<<<0": "8"}


@pytest.mark.parametrize("text", DIGITS)
def test_check_digits_are_those_of_the_standard(text: str) -> None:
    assert check_digit(text) == DIGITS[text]


@pytest.mark.parametrize("layout", SPECIMENS)
def test_a_specimen_holds_and_is_given_back_in_lines(layout: str) -> None:
    found = validate(SPECIMENS[layout])
    assert found.split("\n") == SPECIMENS[layout].split()
    assert validate(found.lower().replace("<", " <")) == found


@pytest.mark.parametrize(("layout", "line"), [("TD1", 1), ("TD1 long", 1), ("TD2", 1), ("TD3", 1)])
def test_a_digit_of_a_specimen_changed_anywhere_under_the_whole_s_check_is_seen(layout: str, line: int) -> None:
    lines = SPECIMENS[layout].split()
    for place, found in enumerate(lines[line]):
        if found.isdigit():
            other = str((int(found) + 1) % 10)
            changed = [*lines[:line], lines[line][:place] + other + lines[line][place + 1 :], *lines[line + 1 :]]
            with pytest.raises(MrzInvalid, match="check digit"):
                validate("\n".join(changed))


@pytest.mark.parametrize("layout", ["MRV-A", "MRV-B"])
@pytest.mark.parametrize("place", [0, 9, 13, 19, 21, 27])
def test_a_visa_has_three_check_digits(layout: str, place: int) -> None:
    first, second = SPECIMENS[layout].split()
    other = "7" if second[place] != "7" else "8"
    with pytest.raises(MrzInvalid):
        validate(f"{first}\n{second[:place]}{other}{second[place + 1 :]}")


def test_a_passport_without_personal_number_may_leave_its_check_digit_out() -> None:
    first, _ = SPECIMENS["TD3"].split()
    number, born, expires, empty = "L898902C36", "7408122", "1204159", "<" * 14
    for digit in "<0":
        whole = check_digit(number + born + expires + empty + digit)
        validate(f"{first}\n{number}UTO{born}F{expires}{empty}{digit}{whole}")
    whole = check_digit(number + born + expires + empty + "1")
    with pytest.raises(MrzInvalid, match="personal number"):
        validate(f"{first}\n{number}UTO{born}F{expires}{empty}1{whole}")


def test_what_is_refused_is_not_repeated() -> None:
    with pytest.raises(MrzInvalid) as refused:
        validate(SPECIMENS["TD3"].replace("L898902C3", "L898902C4"))
    assert "L898902" not in str(refused.value)


@given(st.text(max_size=100) | st.lists(st.text("A0<é٣", min_size=30, max_size=30), max_size=3).map("\n".join))
def test_any_other_text_is_refused_as_a_zone(text: str) -> None:
    try:
        validate(text)
    except MrzInvalid as refused:
        assert refused.code == "mrz_invalid"
