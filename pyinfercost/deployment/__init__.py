"""Where and how a model runs: prices, places, data transfer and cold starts."""

from ..results.costs import ColdStart as ColdStart
from ..results.costs import Moved as Moved
from ..results.costs import Place as Place
from ..results.costs import Price as Price
from ..results.costs import PriceError as PriceError
from ..results.costs import Transfer as Transfer
from ..results.costs import TransferError as TransferError
from .cold_start import cold_start as cold_start
from .host_transfer import HostLink as HostLink
from .host_transfer import host_link as host_link
from .offers import Offer as Offer
from .offers import UnknownOfferError as UnknownOfferError
from .offers import clouds as clouds
from .offers import offer as offer
from .offers import offers as offers
from .places import UnknownPlaceError as UnknownPlaceError
from .places import place as place
from .places import places as places
from .prices import price_of as price_of
from .transfer import transfer_of as transfer_of
