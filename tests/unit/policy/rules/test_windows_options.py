"""pod-validity, windowsOptions: options that no Windows pod can have deny the resource that brings them."""

import pytest

from tests.support.sample_pods import decide, resource

NO_USER = "that is no name of a Windows user"
NO_SPEC = "it must not be empty or over 64 KiB"
NO_NAME = "that is no name of an object"


def message(**spec):
    """Why a VMSingle is denied; "" where it is not."""
    return decide(resource("VMSingle", spec=spec), [], webhook="validate", minor=37).message


def context(**options):
    return {"windowsOptions": options}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"runAsUserName": ""}, NO_USER),
        ({"runAsUserName": ". ."}, NO_USER),
        ({"runAsUserName": "domain\\"}, NO_USER),
        ({"runAsUserName": "a\\b\\c"}, NO_USER),
        ({"runAsUserName": "a;b"}, NO_USER),
        ({"runAsUserName": "a\n"}, NO_USER),
        ({"runAsUserName": "u" * 105}, NO_USER),
        ({"gmsaCredentialSpec": ""}, NO_SPEC),
        ({"gmsaCredentialSpec": "x" * 65537}, NO_SPEC),
        ({"gmsaCredentialSpecName": ""}, NO_NAME),
        ({"gmsaCredentialSpecName": "Not_valid"}, NO_NAME),
    ],
)
def test_an_option_that_windows_cannot_run_denies_the_resource(options, reason):
    (name,) = options
    denied = message(securityContext=context(**options))
    assert denied.startswith(f"VMSingle mon/db spec.securityContext has windowsOptions.{name}: ")
    assert reason in denied


@pytest.mark.parametrize(
    "options",
    [
        {"runAsUserName": "ContainerUser"},
        {"runAsUserName": "domain\\user"},
        {"runAsUserName": "u" * 104},
        {"gmsaCredentialSpec": "x" * 65536},
        {"gmsaCredentialSpecName": "valid.name"},
        {"hostProcess": False},
    ],
)
def test_an_option_that_windows_can_run_is_allowed(options):
    assert message(securityContext=context(**options)) == ""


@pytest.mark.parametrize(
    ("of_pod", "of_container", "network", "reason"),
    [
        (True, None, True, ""),
        (None, None, False, ""),
        (True, None, False, "processes of the host need hostNetwork: true"),
        (True, False, True, "the pod says true"),
        (False, True, True, "the pod says false"),
        (None, True, True, "all containers of a pod must be processes of the host, or none"),
    ],
)
def test_host_processes_are_all_containers_of_a_pod_in_the_hosts_network(of_pod, of_container, network, reason):
    own, side = ({} if each is None else context(hostProcess=each) for each in (of_pod, of_container))
    denied = message(securityContext=own, hostNetwork=network, containers=[{"name": "side", "securityContext": side}])
    assert reason in denied
    assert bool(denied) == bool(reason)
