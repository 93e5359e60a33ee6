"""low-port: a port below 1024 is a warning for a container that may not listen there."""

import pytest

from tests.support.preview_warnings import warnings_on

RUNTIME = "it cannot, unless the runtime lowers ip_unprivileged_port_start. Use a port from 1024 on [low-port]"


def test_a_low_port_of_a_strict_pod_is_a_warning():
    assert warnings_on("VMAuth", {"port": "80"}) == [
        "vmauth: container 'vmauth' listens on port 80 (httpListenAddr) as user 65534 without NET_BIND_SERVICE:"
        f" {RUNTIME}"
    ]


@pytest.mark.parametrize(
    ("kind", "spec", "what"),
    [
        ("VMSingle", {"port": "443"}, "443 (httpListenAddr)"),
        ("VMAlertmanager", {"port": "80"}, "80 (web.listen-address)"),
        ("VMSingle", {"extraArgs": {"httpListenAddr": ":80"}}, "80 (httpListenAddr)"),
        ("VMSingle", {"port": "80", "extraArgs": {"httpListenAddr": ":8080"}}, ""),
        ("VMSingle", {"extraArgs": {"httpListenAddr": "127.0.0.1:8428,[::]:80"}}, "80 (httpListenAddr)"),
        ("VMAuth", {"internalListenPort": "81"}, "81 (httpInternalListenAddr)"),
        ("VMAgent", {"insertPorts": {"graphitePort": "203"}}, "203 (graphiteListenAddr)"),
        ("VMAgent", {"insertPorts": {"openTSDBHTTPPort": "204"}}, "204 (opentsdbHTTPListenAddr)"),
        ("VMCluster", {"vminsert": {"insertPorts": {"influxPort": "99"}}}, "99 (influxListenAddr)"),
        ("VMCluster", {"vmstorage": {"vmInsertPort": "84"}}, "84 (vminsertAddr)"),
        ("VMCluster", {"vmselect": {"clusterNativeListenPort": "85"}}, "85 (clusternativeListenAddr)"),
        ("VMCluster", {"requestsLoadBalancer": {"enabled": True, "spec": {"port": "80"}}}, "80 (httpListenAddr)"),
        ("VLSingle", {"syslogSpec": {"tcpListeners": [{"listenPort": 514}]}}, "514 (syslog.listenAddr.tcp)"),
        (
            "VLSingle",
            {"syslogSpec": {"tcpListeners": [{"listenPort": 514}], "udpListeners": [{"listenPort": 514}]}},
            "514 (syslog.listenAddr.tcp and syslog.listenAddr.udp)",
        ),
        ("VLSingle", {"extraArgs": {"syslog.listenAddr.udp": ":514"}}, "514 (syslog.listenAddr.udp)"),
        ("VMSingle", {"port": "8428"}, ""),
        ("VMSingle", {"extraArgs": {"httpListenAddr.useProxyProtocol": "80"}}, ""),
        ("VMSingle", {"containers": [{"name": "vmsingle", "args": ["--httpListenAddr=:80"]}]}, "80 (httpListenAddr)"),
        ("VMAnomaly", {"monitoring": {"pull": {"port": "80"}}}, "80 (monitoring.pull.port)"),
        (
            "VMAnomaly",
            {"monitoring": {"pull": {"port": "80"}}, "server": {"port": "443"}},
            "80 (monitoring.pull.port), 443 (server.port)",
        ),
        ("VMAnomaly", {"monitoring": {"pull": {"port": "8080"}}, "server": {"port": "x" * 9}}, ""),
        ("VMAuth", {"configReloaderExtraArgs": {"http.listenAddr": ":80"}}, "80 (http.listenAddr)"),
        ("VMSingle", {"vmBackup": {"acceptEULA": True, "destination": "s3://x", "port": "842"}}, ""),
        ("VMDistributed", {"zones": [{"name": "a"}], "vmauth": {"spec": {"port": "80"}}}, "80 (httpListenAddr)"),
    ],
    ids=str,
)
def test_every_field_and_argument_with_a_port_counts(kind, spec, what):
    warnings = warnings_on(kind, spec, "low-port")
    assert len(warnings) == bool(what)
    assert all(f"listens on port {what} as user 65534" in each for each in warnings)


@pytest.mark.parametrize(
    ("context", "count"),
    [
        ({"securityContext": {}}, 0),
        ({"useStrictSecurity": False}, 0),
        ({"securityContext": {"runAsUser": 0}}, 0),
        ({"securityContext": {"runAsUser": 0, "capabilities": {"drop": ["ALL"]}}}, 1),
        ({"securityContext": {"runAsUser": 5}}, 1),
        ({"securityContext": {"runAsUser": 5, "capabilities": {"add": ["NET_BIND_SERVICE"]}}}, 0),
        (
            {
                "containers": [
                    {
                        "name": "vmauth",
                        "securityContext": {"capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}},
                    }
                ]
            },
            0,
        ),
        (
            {
                "securityContext": {
                    "runAsUser": 5,
                    "sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}],
                }
            },
            0,
        ),
        (
            {
                "securityContext": {
                    "runAsUser": 5,
                    "sysctls": [{"name": "net/ipv4/ip_unprivileged_port_start", "value": "80"}],
                }
            },
            0,
        ),
    ],
    ids=str,
)
def test_user_capabilities_and_sysctls_count_whatever_sets_them(context, count):
    assert len(warnings_on("VMAuth", {"port": "80", **context}, "low-port")) == count


def test_on_the_network_of_the_node_the_runtime_does_not_help():
    (warning,) = warnings_on("VMAuth", {"port": "80", "hostNetwork": True}, "low-port")
    assert "it cannot, as on the node ports begin at 1024. Use" in warning


def test_a_port_that_a_container_of_the_user_declares_counts():
    (warning,) = warnings_on("VMAuth", {"containers": [{"name": "side", "ports": [{"containerPort": 80}]}]}, "low-port")
    assert warning.startswith("vmauth: container 'side' declares port 80 (containerPort) as user 65534 without")


def test_root_of_an_image_does_not_count_where_run_as_non_root_forbids_it():
    for more in ({}, {"capabilities": {"drop": ["ALL"]}}):
        (warning,) = warnings_on(
            "VMAuth", {"port": "80", "securityContext": {"runAsNonRoot": True, **more}}, "low-port"
        )
        assert "as another user than root without NET_BIND_SERVICE" in warning
