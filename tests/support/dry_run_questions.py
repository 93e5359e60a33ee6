"""Texts that anyone may send to /dry-run, with the HTTP status of each answer."""

import json

from tests.support.sample_pods import pod

_HEAD = b"apiVersion: v1\nkind: Pod\nmetadata: {name: db-0, namespace: mon}\nspec: {containers: [{name: a}]}\n"

BILLION_LAUGHS = b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
    b"%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n" % ((n + 1, n + 1) + (n,) * 8) for n in range(97, 110)
)

_MERGES = b"a: &a {" + b",".join(b"k%d: 1" % n for n in range(3000)) + b"}\nb: {<<: [" + b"*a," * 60 + b"]}\n"

QUESTIONS = {
    "billion laughs": (400, BILLION_LAUGHS),
    "merges of merges": (400, _MERGES),
    "python object": (400, b"!!python/object/apply:os.system [x]"),
    "python object below": (400, _HEAD + b"x: !!python/object:x.y {}\n"),
    "tag by another handle": (400, b"%TAG ! tag:yaml.org,2002:python/\n---\n!object x\n"),
    "binary": (400, _HEAD + b"x: !!binary aGk=\n"),
    "timestamp": (400, _HEAD + b"x: !!timestamp 2020-01-01\n"),
    "set": (400, _HEAD + b"x: !!set {a}\n"),
    "own tag": (400, _HEAD + b"x: !foo bar\n"),
    "date": (200, _HEAD + b"x: 2020-01-01\n"),
    "anchor and alias": (200, _HEAD + b"x: &a [1]\ny: *a\n"),
    "merge key": (200, b"<<: {kind: Pod, apiVersion: v1, metadata: {name: x}, spec: {}}\n"),
    "merge of text": (400, b"<<: x"),
    "alias to itself": (400, b"a: &a {b: *a}"),
    "key twice": (400, _HEAD + b"kind: Pod\n"),
    "key twice, JSON": (422, b'{"kind":"Pod","kind":"X","apiVersion":"v1"}'),
    "lone surrogate": (400, _HEAD + b'x: "\\uD800"\n'),
    "lone surrogate in a label": (400, _HEAD.replace(b"db-0", b'db-0, labels: {a: "\\ud83d"}')),
    "lone surrogate, JSON": (400, b'{"kind":"Pod","apiVersion":"v1","metadata":{"name":"\\ud800"}}'),
    "encoded surrogate": (400, _HEAD + b"x: \xed\xa0\x80\n"),
    "beyond Unicode": (400, _HEAD + b'x: "\\UFFFFFFFF"\n'),
    "NUL, escaped": (200, _HEAD + b'x: "\\0"\n'),
    "NUL": (400, _HEAD + b"x: \0\n"),
    "escape": (400, _HEAD + b"x: \x1b\n"),
    "latin-1": (400, _HEAD + b"x: \xe9\n"),
    "UTF-16": (400, _HEAD.decode().encode("utf-16")),
    "NaN": (422, b'{"a":NaN}'),
    "NaN, YAML": (400, _HEAD + b"x: .nan\n"),
    "infinity": (400, _HEAD + b"x: -.inf\n"),
    "too large": (400, b'{"a":1e400}'),
    "digits": (400, _HEAD + b"x: " + b"9" * 100_000 + b"\n"),
    "digits, JSON": (400, b'{"kind":"Pod","apiVersion":"v1","a":' + b"9" * 100_000 + b"}"),
    "underscores": (200, _HEAD + b"x: 1" + b"_" * 200_000 + b"\n"),
    "deep JSON": (400, b"[" * 100_000),
    "deep JSON objects": (400, b'{"a":' * 80_000),
    "deep flow": (400, b"a: " + b"[" * 100_000),
    "deep block": (400, b"- " * 100_000),
    "deep keys": (400, b"? " * 100_000),
    "deep lists of lists": (400, b'{"apiVersion":"v1","kind":"List","items":[' * 60 + b"]}" * 60),
    "many documents": (422, b"---\na: 1\n" * 20_000),
    "many pods": (422, (_HEAD + b"---\n") * 2000),
    "many anchors": (422, b"".join(b"k%d: &a%d x\n" % (n, n) for n in range(20_000))),
    "long key": (422, b"? " + b"a" * 400_000 + b"\n: 1\n"),
    "unended text": (400, b'"' + b"a\\\n" * 150_000),
    "comment": (422, b"#" * 500_000),
    "nothing": (422, b""),
    "null": (422, b"null"),
    "other version of YAML": (400, b"%YAML 9.9\n---\n" + _HEAD),
    "review without a request": (422, b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}'),
    "review of null": (422, b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":null}'),
    "review of version 2": (
        422,
        b'{"apiVersion":"admission.k8s.io/v2","kind":"AdmissionReview","request":{"object":{}}}',
    ),
    "pod null": (422, b'{"pod":null}'),
    "version in other digits": (422, json.dumps({"pod": pod(), "kubernetesVersion": "1.٣٠"}).encode()),
    "version of many digits": (422, json.dumps({"pod": pod(), "kubernetesVersion": "1." + "9" * 5000}).encode()),
}
"""By name of the text, `(status, text)`."""
