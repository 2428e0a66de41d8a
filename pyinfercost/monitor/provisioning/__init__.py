"""Configuration of Prometheus, Grafana and containers, generated from the catalog of figures."""

from .files import ConfigFile, config_files, write_config
from .settings import MonitorConfig, MonitorConfigError

__all__ = ["ConfigFile", "MonitorConfig", "MonitorConfigError", "config_files", "write_config"]
