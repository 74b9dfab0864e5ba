"""The feature's offers to the rest of the system."""

from functools import partial

from livegift.features.grants.queries import REASONS, mark_booked
from livegift.features.grants.service import repeat_pending_grants
from livegift.features.grants.tables import grants
from livegift.features.slots import Background, Feature
from livegift.ledger.participants import Participant
from livegift.resources.resources import Stores
from livegift.runtime.bounds import SWEEP_GRANTS_S
from livegift.runtime.sweeps import Sweep


def _background(stores: Stores) -> Background:
    work = partial(repeat_pending_grants, stores.database, stores.wallets)
    return Background((Sweep("grants", SWEEP_GRANTS_S, work),))


FEATURE = Feature(
    "grants",
    reasons=REASONS,
    booking=(Participant("grants", 50, mark_booked),),
    background=_background,
    tables=(grants,),
)
