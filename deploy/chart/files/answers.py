"""What `helm test` runs: vmguard is ready, and answers a question about a resource over TLS.

The environment has the addresses OPERATIONS and WEBHOOK, and the path CA_FILE of the CA certificate.
"""

import json
import os
import ssl
import urllib.request

SECONDS = 10
QUESTION = {
    "apiVersion": "operator.victoriametrics.com/v1beta1",
    "kind": "VMSingle",
    "metadata": {"name": "test", "namespace": "test"},
    "spec": {},
}

with urllib.request.urlopen(f"{os.environ['OPERATIONS']}/readyz", timeout=SECONDS) as answer:
    print("/readyz:", answer.status)

request = urllib.request.Request(
    f"{os.environ['WEBHOOK']}/dry-run",
    data=json.dumps(QUESTION).encode(),
    headers={"Content-Type": "application/json"},
)
trusted = ssl.create_default_context(cafile=os.environ["CA_FILE"])
with urllib.request.urlopen(request, timeout=SECONDS, context=trusted) as answer:
    levels = json.load(answer)["podSecurity"]
print("/dry-run: the level of the pods of a VMSingle is", json.dumps(levels))
