"""What is seized and in which units it is counted, as the Center's tables print them (pages 15 to 17)."""

from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Substance(StrEnum):
    """The drug types of the Center's tables, pages 15 to 17, and precursors named there."""

    HEROIN = "heroin"
    MARIJUANA = "marijuana"
    AMPHETAMINES = "amphetamines"
    HASHISH = "hashish"
    COCAINE = "cocaine"
    OPIUM = "opium"
    MDMA = "mdma"
    SEDATIVES = "sedatives"
    STEROIDS = "steroids"
    HERBAL_CANNABIS = "herbal-cannabis"
    PSEUDOEPHEDRINE = "pseudoephedrine"
    TOLUOL = "toluol"
    OTHER = "other"


class Unit(StrEnum):
    """Units of seizure: those of the tables first. Tablets, ampoules, dosages and pieces are counted, not weighed."""

    GRAM = "g"
    KILOGRAM = "kg"
    METRIC_TON = "t"
    LITRE = "l"
    TABLET = "tablets"
    AMPOULE = "ampoules"
    DOSAGE = "dosages"
    MILLIGRAM = "mg"
    MILLILITRE = "ml"
    CUBIC_METRE = "m3"
    PLANT = "plants"
    PIECE = "pieces"
    PACK = "packs"
    CARTON = "cartons"


# Pages 15 to 17 write three units in more than one way.
PRINTED_UNITS: Final = MappingProxyType(
    {
        "kg": Unit.KILOGRAM,
        "kilograms": Unit.KILOGRAM,
        "gr": Unit.GRAM,
        "metric tons": Unit.METRIC_TON,
        "tablets": Unit.TABLET,
        "ampoules": Unit.AMPOULE,
        "dosages": Unit.DOSAGE,
    }
)
