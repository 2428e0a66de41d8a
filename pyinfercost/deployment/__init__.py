"""Where and how a model runs: prices, places, data transfer and cold starts."""

from ..results.costs import ColdStart as ColdStart
from ..results.costs import Moved as Moved
from ..results.costs import Place as Place
from ..results.costs import Price as Price
from ..results.costs import PriceError as PriceError
from ..results.costs import Transfer as Transfer
from ..results.costs import TransferError as TransferError
from .cold_starts import cold_start as cold_start
from .host_transfer import HostLink as HostLink
from .host_transfer import host_link as host_link
from .offer_catalog import Offer as Offer
from .offer_catalog import UnknownOfferError as UnknownOfferError
from .offer_catalog import clouds as clouds
from .offer_catalog import offer as offer
from .offer_catalog import offers as offers
from .place_catalog import UnknownPlaceError as UnknownPlaceError
from .place_catalog import place as place
from .place_catalog import places as places
from .prices import price_of as price_of
from .transfer import transfer_of as transfer_of
