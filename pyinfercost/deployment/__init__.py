"""Where and how a model runs: prices, places, data transfer and cold starts."""

from .cold_start import ColdStart as ColdStart
from .cold_start import cold_start as cold_start
from .host_transfer import HostLink as HostLink
from .host_transfer import Moved as Moved
from .host_transfer import host_link as host_link
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
from .transfer import Transfer as Transfer
from .transfer import TransferError as TransferError
from .transfer import transfer_of as transfer_of
