"""
The words of the domain: immutable values, no behaviour that touches the world.

Times are seconds since the epoch as floats, sizes are bytes, durations are seconds.
"""

from reconciler.model.attempts import (
    Attempt,
    Guard,
    HostStatus,
    Outcome,
    Phase,
    Reason,
    StepRecord,
)
from reconciler.model.desired import (
    CheckKind,
    CheckSide,
    Desired,
    DesiredKey,
    DesiredUnit,
    Heal,
    HealthCheck,
    KeyOrigin,
    Target,
    UnitRule,
)
from reconciler.model.names import (
    Commit,
    CommitId,
    HostName,
    StorePath,
    UnitName,
    is_unit_name,
)
from reconciler.model.observed import (
    CheckResult,
    Observed,
    ObservedKey,
    ObservedUnit,
    SystemParts,
)
from reconciler.model.orders import (
    Hold,
    Quarantine,
    Turn,
)
from reconciler.model.packages import PackageChange, PackageKind, SystemDiff
from reconciler.model.plan import (
    Digests,
    Drift,
    DriftKind,
    Effect,
    Known,
    Mode,
    Plan,
    Policy,
    Reboot,
    Specialisation,
    Step,
    StepKind,
    Verdict,
)

__all__ = [
    "Attempt",
    "CheckKind",
    "CheckResult",
    "CheckSide",
    "Commit",
    "CommitId",
    "Desired",
    "DesiredKey",
    "DesiredUnit",
    "Digests",
    "Drift",
    "DriftKind",
    "Effect",
    "Guard",
    "Heal",
    "HealthCheck",
    "Hold",
    "HostName",
    "HostStatus",
    "KeyOrigin",
    "Known",
    "Mode",
    "Observed",
    "ObservedKey",
    "ObservedUnit",
    "Outcome",
    "PackageChange",
    "PackageKind",
    "Phase",
    "Plan",
    "Policy",
    "Quarantine",
    "Reason",
    "Reboot",
    "Specialisation",
    "Step",
    "StepKind",
    "StepRecord",
    "StorePath",
    "SystemDiff",
    "SystemParts",
    "Target",
    "Turn",
    "UnitName",
    "UnitRule",
    "Verdict",
    "is_unit_name",
]
