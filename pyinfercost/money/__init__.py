"""What machines cost to rent or to own, and what an inference costs on them."""

from .offers import Offer as Offer
from .offers import UnknownOfferError as UnknownOfferError
from .offers import clouds as clouds
from .offers import offer as offer
from .offers import offers as offers
from .places import Place as Place
from .places import UnknownPlaceError as UnknownPlaceError
from .places import place as place
from .places import places as places
from .prices import Price as Price
from .prices import PriceError as PriceError
from .prices import price_of as price_of

__all__ = [
    "Offer",
    "Place",
    "Price",
    "PriceError",
    "UnknownOfferError",
    "UnknownPlaceError",
    "clouds",
    "offer",
    "offers",
    "place",
    "places",
    "price_of",
]
