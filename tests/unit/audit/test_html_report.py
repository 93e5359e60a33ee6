"""The page of an audit: hostile texts stay texts, nothing is loaded, equal workloads share a row."""

import base64
import hashlib
import re
from html.parser import HTMLParser

import msgspec
import pytest

from tests.support.audit_reports import large_report, report, sample_report, workload
from webhook.audit.html_report import as_html
from webhook.audit.report import AuditReport, MissingPermission, NotJudged, ReportedFinding

HOSTILE = (
    "</style></script></pre><script>alert(1)</script><img src=x onerror=alert(1)>",
    "\" onmouseover=alert(1) x='",
    "{{ 7 * 7 }}{% raw %}&lt;",
    "\u202egnp.exe\u200b\u2066",
    "\x00\x07\x1b[31m\x85\r",
    "\ud800",
)
UNFIT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
CHOSEN = {"basedOn", "verdict", "levelNow", "levelAfter", "couldEnforce", "apiVersion", "op", "verdicts"}
"""Fields that hold one of a few values, which their types check."""


class _Page(HTMLParser):
    """A page's elements with their attributes and classes, and its text without style and script."""

    void = frozenset({"meta", "input", "rect"})
    optional = frozenset({"td", "tr", "option"})

    def __init__(self, text):
        super().__init__()
        self.elements = []
        self.open = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.void | self.optional:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.void | self.optional:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open):
            self.text += data

    def of(self, name):
        """The attributes of the elements with a class."""
        return [attributes for _, attributes in self.elements if name in (attributes.get("class") or "").split()]

    def shape(self):
        """Elements, classes and names of attributes: all of a page but its texts."""
        return [(tag, attributes.get("class"), *attributes) for tag, attributes in self.elements]


def _with_text(value, text, name=""):
    """A report's JSON in which every text that its author does not choose from a list is another one."""
    if isinstance(value, dict):
        fixed = name == "verdicts"
        return {
            (key if fixed or name != "settings" else key + text): each if fixed else _with_text(each, text, key)
            for key, each in value.items()
        }
    if isinstance(value, list):
        return [_with_text(each, text, name) for each in value]
    return value + text if isinstance(value, str) and value and name not in CHOSEN | {"kind"} else value


def _everywhere(text):
    plain = msgspec.to_builtins(sample_report())
    changed = _with_text(plain, text)
    for each in changed["workloads"]:
        each["kind"] += text
    return msgspec.convert(changed, AuditReport)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_in_every_field_changes_no_element(text):
    """A page with hostile texts has the elements and attributes of the page with harmless ones."""
    harmless, hostile = (_Page(as_html(_everywhere(each))) for each in ("harmless", text))
    assert hostile.shape() == harmless.shape()
    assert hostile.open == []


@pytest.mark.parametrize("text", HOSTILE)
def test_no_invisible_or_turning_character_reaches_the_page(text):
    """The page has no control character, no mark of direction and no lone surrogate."""
    page = as_html(_everywhere(text))
    assert not UNFIT.findall(page)
    assert page.encode()


def test_a_hostile_text_is_shown_as_it_is_written():
    """Markup in a name is shown as text."""
    assert f"/gate{HOSTILE[0]}" in _Page(as_html(_everywhere(HOSTILE[0]))).text


def test_the_policy_allows_the_pages_own_style_and_script_and_nothing_else():
    """The hashes in the Content-Security-Policy are those of the inline style and script."""
    page = as_html(sample_report())
    policy = next(each["content"] for _, each in _Page(page).elements if "http-equiv" in each)
    directives = dict(each.split(" ", 1) for each in policy.split("; "))
    for element in ("style", "script"):
        (inline,) = re.findall(rf"<{element}>(.*?)</{element}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
        assert directives.pop(f"{element}-src") == f"'sha256-{digest}'"
    assert directives == dict.fromkeys(("default-src", "base-uri", "form-action"), "'none'")


def test_the_page_refers_to_nothing_outside():
    """No element loads anything, and each link leads to a place on the page."""
    elements = _Page(as_html(large_report(500, equal=True))).elements + _Page(as_html(sample_report())).elements
    assert not {tag for tag, _ in elements} & {"link", "img", "iframe", "object", "embed", "base", "image", "use"}
    assert not [each for _, each in elements if {"src", "style", "action", "srcset"} & each.keys()]
    assert not [name for _, each in elements for name in each if name.startswith("on")]
    ids = {each["id"] for _, each in elements if "id" in each}
    links = {each["href"] for _, each in elements if "href" in each}
    assert links
    assert {link.removeprefix("#") for link in links} <= ids


def test_a_fix_is_shown_with_its_command():
    """Both can be selected with one click."""
    text = _Page(as_html(sample_report())).text
    (finding,) = [each for row in sample_report().workloads for each in row.findings if each.command]
    assert text.index(finding.fix) < text.index("The same as a command") < text.index(finding.command)


def test_every_id_is_there_once():
    """No two elements share an id, which labels and links rely on."""
    ids = [each["id"] for _, each in _Page(as_html(sample_report())).elements if "id" in each]
    assert sorted(set(ids)) == sorted(ids)


def test_workloads_are_grouped_by_verdict_the_worst_first():
    """A group of the page is a verdict, and none is left out."""
    groups = [each["data-verdict"] for each in _Page(as_html(sample_report())).of("group")]
    assert groups == ["DENIED", "BREAKS", "CHECK", "changes", "ok", "unknown"]


def test_workloads_that_differ_in_names_only_share_a_row_that_lists_them():
    """Twenty equal workloads are one row, even where a reason or a setting has their names."""
    found = [
        workload(
            f"team-{number % 2} VMAgent/edge-{number} vmagent",
            "CHECK",
            first_reason=f"claim db-edge-{number} of VMAgent team-{number % 2}/edge-{number}",
        )
        for number in range(20)
    ]
    page = _Page(as_html(report(found)))
    assert len(page.of("row")) == 1
    listed = [each["data-namespace"] for tag, each in page.elements if tag == "li" and "data-namespace" in each]
    assert sorted(listed[1:]) == ["team-0"] * 10 + ["team-1"] * 10
    assert all(f"VMAgent/edge-{number}" in page.text for number in range(20))


@pytest.mark.parametrize(
    "other",
    [
        {"level_now": "privileged"},
        {"findings": [ReportedFinding("backup", "CHECK", "the destination is read-only")]},
        {"first_reason": "the pods will run as 1"},
        {"changes": []},
        {"not_restricted": ["hostPath"]},
        {"controller": "DaemonSet"},
    ],
    ids=lambda each: next(iter(each)),
)
def test_workloads_that_differ_in_more_have_rows_of_their_own(other):
    """What differs is never folded away."""
    plain = {"first_reason": "the pods will run as 0"}
    found = [
        workload("a VMAgent/0 vmagent", "CHECK", **plain),
        workload("a VMAgent/1 vmagent", "CHECK", **plain | other),
    ]
    assert len(_Page(as_html(report(found))).of("row")) == 2


def test_the_incomplete_parts_come_before_the_numbers():
    """What was not judged, the missing permission and its rule stand above everything else."""
    text = _Page(as_html(sample_report())).text
    parts = (
        "Incomplete: vmguard audit",
        "This report is incomplete",
        "4 pods in team-b",
        "1 workload with the verdict",
    )
    places = [text.index(each) for each in (*parts, "resources: [replicasets]", "would be denied or break")]
    assert places == sorted(places)


@pytest.mark.parametrize(
    "fields",
    [
        {"complete": False},
        {"missing": [MissingPermission("production", "", "may not list pods")]},
        {"not_judged": [NotJudged("production", "team-b", 1, "it has no owner")]},
    ],
    ids=lambda each: next(iter(each)),
)
def test_any_sign_of_an_incomplete_report_is_shown(fields):
    """One sign suffices, even where `complete` contradicts it."""
    assert "This report is incomplete" in as_html(report([], **fields))
    assert "This report is incomplete" in as_html(report([workload("a VMAgent/b vmagent", "unknown")]))


def test_a_complete_report_has_no_such_part():
    """Without a gap there is no warning."""
    assert "ncomplete" not in _Page(as_html(report([workload("a VMAgent/b vmagent", "ok")]))).text


def test_a_cluster_is_named_with_each_workload_where_there_are_several():
    """One cluster needs no column; several have one."""
    clusters = [msgspec.structs.replace(sample_report().clusters[0], name=name) for name in ("east", "west")]
    found = [workload("a VMAgent/b vmagent", "ok", cluster="west")]
    assert _Page(as_html(report(found, clusters=clusters))).of("cluster")
    assert not _Page(as_html(report(found, clusters=clusters[:1]))).of("cluster")


def test_the_numbers_and_bars_count_workloads():
    """Three numbers by verdict, and one bar for each level now and afterwards."""
    page = _Page(as_html(sample_report()))
    numbers = re.sub(r"\s+", " ", page.text)
    assert "2 would be denied or break 1 DENIED, 1 BREAKS" in numbers
    assert "4 need a look 3 CHECK, 1 unknown" in numbers
    assert "22 need nothing from you 19 changes, 3 ok" in numbers
    widths = [each["width"] for tag, each in page.elements if tag == "rect" and each["width"] != "100%"]
    assert widths == ["10.7%", "89.3%", "82.1%", "7.1%", "7.1%", "3.6%"]


def test_a_page_of_nothing_says_so():
    """An empty cluster has a page too."""
    assert "There is no workload of the operator here." in as_html(report([]))


@pytest.mark.slow
@pytest.mark.parametrize("equal", [True, False])
def test_five_thousand_workloads_are_at_most_five_megabytes(equal):
    """The page has every name; what does not fit is left out, and the page says so."""
    page = as_html(large_report(5000, equal=equal))
    assert len(page.encode()) <= 5_000_000
    assert all(f"VMAgent/edge-{number}<" in page for number in range(5000))
    assert ("left out for size" in page) is not equal
    assert ("This page is at most 5 MB" in page) is not equal


def test_equal_changes_of_many_rows_are_there_once():
    """Rows that differ in their reason alone lead to the same changes and diff."""
    found = [
        workload(f"a VMAgent/edge-{number} vmagent", "CHECK", first_reason=f"claim of {1000 + number} GiB")
        for number in range(300)
    ]
    page = as_html(report(found))
    assert page.count("spec.securityContext.fsGroupChangePolicy") == 1
    assert page.count('<a href="#changes-1">') == 300
    few = as_html(report(found[:3]))
    assert few.count("spec.securityContext.fsGroupChangePolicy") == 3
    assert "#changes-1" not in few
