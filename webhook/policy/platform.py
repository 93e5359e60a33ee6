"""The warning that OpenShift refuses the user id that vmguard fills in. Pure."""

OVERLAY = "deploy/overlays/openshift"
"""The overlay that leaves users and groups to OpenShift."""


def refused_by_constraints(run_as: str, *, serves_constraints: bool) -> str:
    """Why OpenShift refuses the pods that vmguard fills, and what to do; "" if it does not.

    `run_as` is VMGUARD_RUN_AS. OpenShift's default constraints (`restricted-v2`) demand a user id from the range of the
    namespace, and 65534 is in no such range.
    """
    if not serves_constraints or run_as == "platform":
        return ""
    return (
        f"the API server serves security.openshift.io and VMGUARD_RUN_AS is {run_as}: the security context constraints "
        f"of OpenShift refuse every pod that gets this user. Set VMGUARD_RUN_AS=platform, as the overlay {OVERLAY} does"
    )
