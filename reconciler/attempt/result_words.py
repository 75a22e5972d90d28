"""What is said of how a guardian ended."""

from reconciler.apply.guardian import Result

TOLD = {
    Result.LOCKED: "somebody else is switching this host just now; waiting",
    Result.REFUSED: (
        "the new system refuses to be switched to, and nothing was touched; that may"
        ' pass by itself, or take a reboot: see "A reboot first" in docs/health.md'
    ),
    Result.REBOOT_FIRST: (
        "the new system cannot be switched to without a reboot, which policy.reboot"
        ' has to allow: see "A reboot first" in docs/health.md'
    ),
    Result.NOT_BOOTED: (
        "it could not be booted into its new system, and boots what it booted before"
    ),
    Result.NOT_STARTED: "the switch was not begun, and nothing was touched",
    Result.BOOT_FAILED: "the new system runs, but what to boot could not be set",
    Result.ROLLBACK_FAILED: "IT COULD NOT BE ROLLED BACK, which is tried again",
}
MANAGED_REFUSED = (
    "the new system, or the host, refuses that it is activated, and nothing was touched"
)
QUOTED = (
    Result.REFUSED,
    Result.NOT_BOOTED,
    Result.BOOT_FAILED,
    Result.ROLLBACK_FAILED,
)
