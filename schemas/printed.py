"""What the Center's tables call what is seized, and how people write the units of it (pages 15 to 17)."""

from types import MappingProxyType
from typing import Final

from schemas.seizures import Substance, Unit

SUBSTANCE_NAMES: Final = MappingProxyType(
    {
        Substance.HEROIN: "Heroin",
        Substance.MARIJUANA: "Marijuana",
        Substance.AMPHETAMINES: "Amphetamines",
        Substance.HASHISH: "Hashish",
        Substance.COCAINE: "Cocaine",
        Substance.OPIUM: "Opium",
        Substance.MDMA: "MDMA",
        Substance.SEDATIVES: "Sedatives",
        Substance.STEROIDS: "Steroids",
        Substance.HERBAL_CANNABIS: "Herbal cannabis",
        Substance.PSEUDOEPHEDRINE: "Pseudoephedrine",
        Substance.TOLUOL: "Precursors (Toluol)",
        Substance.OTHER: "Other",
    }
)
# The first is what we write where nobody has said how.
UNIT_WORDS: Final = MappingProxyType(
    {
        Unit.GRAM: ("g", "gr", "gram", "grams", "gramme", "grammes"),
        Unit.KILOGRAM: ("kg", "kilogram", "kilograms", "kilogramme", "kilogrammes", "kilo", "kilos"),
        Unit.METRIC_TON: ("t", "metric ton", "metric tons", "tonne", "tonnes"),
        Unit.LITRE: ("l", "litre", "litres", "liter", "liters"),
        Unit.TABLET: ("tablets", "tablet"),
        Unit.AMPOULE: ("ampoules", "ampoule"),
        Unit.DOSAGE: ("dosages", "dosage"),
        Unit.MILLIGRAM: ("mg", "milligram", "milligrams"),
        Unit.MILLILITRE: ("ml", "millilitre", "millilitres", "milliliter", "milliliters"),
        Unit.CUBIC_METRE: ("m3", "cubic metre", "cubic metres", "cubic meter", "cubic meters"),
        Unit.PLANT: ("plants", "plant"),
        Unit.PIECE: ("pieces", "piece"),
        Unit.PACK: ("packs", "pack"),
        Unit.CARTON: ("cartons", "carton"),
    }
)


def split_stated(stated: str) -> tuple[str, str]:
    """The number and the unit's word of a quantity as written, `3,3 kilograms`."""
    begin = next((place for place, letter in enumerate(stated) if letter.isalpha()), len(stated))
    return stated[:begin].strip(), stated[begin:].strip()
