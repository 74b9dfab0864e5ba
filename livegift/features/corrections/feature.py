"""The feature's offers to the rest of the system."""

from functools import partial

from livegift.features.corrections import routes, undo_routes
from livegift.features.corrections.checks import wrong_corrections
from livegift.features.corrections.queries import REASONS, mark_booked, post
from livegift.features.corrections.service import finish_corrections
from livegift.features.corrections.settings import CorrectionSettings
from livegift.features.corrections.tables import corrections
from livegift.features.slots import Background, Feature
from livegift.ledger.participants import Participant
from livegift.operations.audit import Invariant
from livegift.resources.resources import Stores
from livegift.runtime.bounds import SWEEP_CORRECTIONS_S
from livegift.runtime.sweeps import Sweep


def _background(stores: Stores) -> Background:
    work = partial(finish_corrections, stores.database, stores.wallets)
    return Background((Sweep("corrections", SWEEP_CORRECTIONS_S, work),))


FEATURE = Feature(
    "corrections",
    routes=(*routes.ROUTES, *undo_routes.ROUTES),
    reasons=REASONS,
    booking=(Participant("corrections", 10, mark_booked), Participant("revocations", 30, post)),
    background=_background,
    invariants=(
        Invariant(
            7,
            "every correction has exactly the entry that its status says, a revoked gift gave back all that it had "
            "moved",
            wrong_corrections,
        ),
    ),
    tables=(corrections,),
    settings=CorrectionSettings,
)
