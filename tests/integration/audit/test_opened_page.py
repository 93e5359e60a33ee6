"""The page of an audit in Debian's Chromium with the network cut."""

from contextlib import contextmanager

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.support.audit_reports import large_report, sample_report
from tests.support.chromium import OpenedPage, chromium
from webhook.audit.html_report import as_html

WIDTHS = (320, 800, 1400)
SCHEMES = ("light", "dark")


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(as_html(sample_report()), encoding="utf-8")
    return path


@pytest.fixture
def opened(browser, file):
    """Opens the page; it is closed at the end of the test."""
    pages = []

    def show(fragment="", path=file, **options):
        pages.append(OpenedPage(browser, path, fragment, **options))
        return pages[-1]

    yield show
    for each in pages:
        each.close()


def _open_everything(page):
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")


def _shown(page):
    """The titles of the rows that are shown."""
    return [each.strip() for each in page.locator(".row:visible .title").all_inner_texts()]


@contextmanager
def _unchanged(page):
    """The rows and the filter are the same afterwards."""
    before = _shown(page), page.input_value("#text"), page.input_value("#namespace")
    yield
    assert (_shown(page), page.input_value("#text"), page.input_value("#namespace")) == before


def test_it_requests_nothing_and_the_console_stays_empty(opened, file):
    """Opening, filtering and unfolding cause no request but the file itself, and no message."""
    found = opened()
    found.page.click("#open")
    found.page.fill("#text", "edge")
    _open_everything(found.page)
    assert found.requests == [file.as_uri()]
    assert found.console == []


def test_the_policy_is_in_force(opened):
    """A script or a style that somebody adds to the page is refused, as is an image."""
    found = opened()
    found.page.evaluate(
        """() => {
            const script = document.createElement('script');
            script.textContent = 'document.title = "run"';
            document.body.append(script);
            const image = new Image();
            image.src = 'data:image/gif;base64,R0lGODlhAQABAAAAACw=';
            document.body.append(image);
            return new Promise((done) => image.addEventListener('error', done, {once: true})).then(() => 1);
        }"""
    )
    assert found.page.title() != "run"
    assert len([line for line in found.console if "Content Security Policy" in line]) == 2


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wider_than_the_window(opened, width):
    """Every row and part is open, and no element needs a horizontal scroll bar."""
    page = opened(viewport={"width": width, "height": 900}).page
    _open_everything(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    wide = """(width) => [...document.querySelectorAll('main *, header *')]
        .filter((each) => each.getBoundingClientRect().right > width + 0.5).map((each) => each.outerHTML)"""
    assert page.evaluate(wide, width) == []


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", [320, 1400])
@pytest.mark.parametrize("everything", [False, True])
def test_axe_finds_no_violation(opened, scheme, width, everything):
    """axe-core has no objection to the page, with all of it closed or open, in both colour schemes."""
    page = opened(viewport={"width": width, "height": 900}, color_scheme=scheme).page
    if everything:
        _open_everything(page)
    result = Axe().run(page)
    assert result.response["passes"]
    assert result.response["violations"] == []


def test_the_colour_schemes_differ(opened):
    """The page follows the scheme that the reader prefers."""
    colours = {
        opened(color_scheme=scheme).page.evaluate("getComputedStyle(document.body).backgroundColor")
        for scheme in SCHEMES
    }
    assert len(colours) == len(SCHEMES)


def test_without_scripts_everything_can_be_read(opened):
    """Each row and part opens by itself; only the filter is not there."""
    page = opened(java_script_enabled=False).page
    assert not page.is_visible("#filter")
    assert page.locator(".row:visible").count() == page.locator(".row").count() > 0
    row = page.locator(".row", has_text="VMCluster/main")
    assert not row.locator(".fix").is_visible()
    row.locator("> details > summary").click()
    assert "runAsNonRoot: false" in row.locator(".fix").inner_text()
    row.locator(".part > summary").first.click()
    assert "spec.securityContext.runAsUser" in row.locator(".edits").inner_text()
    row.locator(".part > summary").last.click()
    assert "name: vmstorage" in row.locator(".diff").inner_text()


def test_filters_narrow_the_rows_and_survive_a_reload(opened):
    """Text, namespace and verdict are in the fragment, and a link with it shows the same rows."""
    page = opened().page
    page.fill("#text", "vm")
    page.select_option("#namespace", "monitoring")
    page.check("[name=verdict][value=BREAKS]")
    page.check("[name=verdict][value=CHECK]")
    assert _shown(page) == ["VMCluster/main vmstorage", "VMSingle/db"]
    assert page.inner_text("#shown") == "2 of 28 workloads shown"
    assert page.url.endswith("#text=vm&namespace=monitoring&verdict=BREAKS%2CCHECK")
    with _unchanged(page):
        page.reload()
    assert _shown(opened(page.url[page.url.index("#") :]).page) == _shown(page)
    page.click("button[type=reset]")
    assert page.inner_text("#shown") == "28 of 28 workloads shown"


def test_a_filter_reaches_the_workloads_of_a_folded_row(opened):
    """A row of equal workloads is shown while one of them fits, and lists those alone."""
    page = opened("#text=edge-3&namespace=tracing").page
    assert _shown(page) == ["VMAgent/edge-0 and 15 more, 1 of them match"]
    page.click("#open")
    assert [" ".join(each.split()) for each in page.locator(".members li:visible").all_inner_texts()] == [
        "tracing VMAgent/edge-3"
    ]


def test_the_id_of_a_finding_is_found(opened):
    """The text filter also reads findings, which a closed row does not show."""
    assert _shown(opened("#text=volume-ownership").page) == [
        "VMCluster/main vmstorage",
        "VLCluster/apps vlstorage and 1 more",
        "VMSingle/db",
    ]


def test_a_fragment_with_unknown_values_shows_what_it_can(opened):
    """A link with a namespace or verdict that the report lacks hides nothing by mistake."""
    found = opened("#namespace=nowhere&verdict=GONE&text=")
    assert found.page.inner_text("#shown") == "28 of 28 workloads shown"
    assert found.console == []


def test_the_keyboard_reaches_and_opens_a_row(opened):
    """The skip link leads to the workloads, and a row opens with Enter."""
    page = opened().page
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "workloads"
    while page.evaluate("document.activeElement.matches('.row > details > summary')") is False:
        assert page.evaluate("document.activeElement !== document.body")
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.locator(".row > details[open]").count() == 1


def test_on_paper_the_filter_is_not_there(opened):
    """Printing keeps the rows and drops what only a screen can do."""
    page = opened().page
    page.emulate_media(media="print")
    assert not page.is_visible("#filter")
    assert page.locator(".row:visible").count() == page.locator(".row").count() > 0
    assert page.pdf().startswith(b"%PDF")


def test_a_page_of_five_thousand_workloads_can_be_filtered(opened, tmp_path):
    """The largest page opens and finds one workload."""
    large = tmp_path / "large.html"
    large.write_text(as_html(large_report(5000, equal=False)), encoding="utf-8")
    found = opened("#text=edge-4711", large)
    assert found.page.inner_text("#shown") == "1 of 5000 workloads shown"
    assert found.console == []
