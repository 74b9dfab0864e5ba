"""The kinds of fault. Each is a function that strikes and heals again; the registry has their names."""

from tests.faults.kinds import clocks, network, poison, postgres, processes, redis, replicas
from tests.faults.kinds.registry import REGISTRY, Kind

__all__ = ["REGISTRY", "Kind", "clocks", "network", "poison", "postgres", "processes", "redis", "replicas"]
