from .catalog_names import names as names
from .driver_names import identify as identify
from .errors import HardwareError as HardwareError
from .errors import HardwareFileError as HardwareFileError
from .errors import MissingFactError as MissingFactError
from .errors import UnknownHardwareError as UnknownHardwareError
from .loading import describe as describe
from .machines import load as load
