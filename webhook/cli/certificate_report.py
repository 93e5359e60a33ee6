"""What `vmguard certs status` reports: from what was read of an installation to sentences. It reads nothing itself."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Literal

import msgspec
from cryptography import x509
from msgspec import Struct

from certs import BACKDATE, OVERLAP, Authority, CertificateError, FaultKind, Leaf, Rotation, certificates_in
from webhook.cluster.webhook_entries import WebhookEntry
from webhook.server.own_certificate import MANAGED_BY, NOTICE, Installation

_OVERDUE = timedelta(days=1)
"""How long after its time a renewal counts as failed."""

_STUCK = timedelta(hours=3)
"""How long a phase of a rotation may last beyond its own time: the leader may restart, and clocks may differ."""

_PAGE = "docs/certificates.md"

_LEADER_WRITES = "The leader corrects that within seconds. If it does not, read the leader's log."


Phase = Literal["none", "installing", "waiting", "retiring"]
"""The phase of a rotation."""


class ReadSecret(Struct, frozen=True):
    """The Secret with the CA: a state of the rotation, what is damaged in it, and who renews the CA.

    `state` is None where there is no Secret. `unreadable` is why it could not be read.
    """

    state: Rotation | None = None
    damage: tuple[str, ...] = ()
    is_of_administrator: bool = False
    unreadable: str = ""


class ReadFiles(Struct, frozen=True):
    """The files of VMGUARD_CERT_DIR. `unreadable` is why there is no pair of certificate and key."""

    directory: str
    leaf: Leaf | None = None
    unreadable: str = ""


class ReadConfiguration(Struct, frozen=True):
    """One webhook configuration: the entries that call vmguard, None where there is no such configuration.

    `unreadable` is why it could not be read.
    """

    kind: str
    name: str
    entries: tuple[WebhookEntry, ...] | None = None
    unreadable: str = ""


class SeenCertificate(Struct, frozen=True, rename="camel"):
    """One certificate of a CA, or the serving certificate; key id and serial number are hexadecimal."""

    key_id: str
    serial: str
    not_before: datetime
    not_after: datetime
    days_left: int

    def __str__(self) -> str:
        return f"key id {self.key_id[:8]}, serial {self.serial[:8]}"


class EntryStatus(Struct, frozen=True, rename="camel"):
    """One entry. `trusts` are the key ids in its bundle. `note` needs no action, `problem` does."""

    name: str
    ok: bool
    trusts: tuple[str, ...] = ()
    problem: str = ""
    note: str = ""


class ConfigurationStatus(Struct, frozen=True, rename="camel"):
    """One configuration and its entries."""

    kind: str
    name: str
    ok: bool
    entries: tuple[EntryStatus, ...] = ()
    problem: str = ""


class CertificateReport(Struct, frozen=True, rename="camel"):
    """The whole report. `ok` is whether no person must act; `complete` is whether everything could be read.

    `certificate` is that of files. With a Secret there is none: each replica has its own. `weaker` is what the entries
    leave out that those of the manifests have; it may be on purpose, and does not count for `ok`.
    """

    source: Literal["secret", "files"]
    place: str
    renewed_by: Literal["vmguard", "administrator", "others"]
    configurations: tuple[ConfigurationStatus, ...]
    ca: SeenCertificate | None = None
    renew_at: datetime | None = None
    phase: Phase = "none"
    next: SeenCertificate | None = None
    old: tuple[SeenCertificate, ...] = ()
    old_until: datetime | None = None
    certificate: SeenCertificate | None = None
    ok: bool = False
    complete: bool = False
    problems: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()
    weaker: tuple[str, ...] = ()

    @property
    def status(self) -> int:
        """The exit status."""
        return 2 if not self.complete else 0 if self.ok else 1


def of_secret(
    installation: Installation, secret: ReadSecret, configurations: Iterable[ReadConfiguration], *, now: datetime
) -> CertificateReport:
    """The report of an installation whose CA is in a Secret."""
    place = f"Secret {installation.namespace}/{installation.secret}"
    state = secret.state or Rotation()
    found = tuple(configurations)
    statuses = tuple(
        _configuration(each, (_by_state(entry, state, secret) for entry in each.entries or ())) for each in found
    )
    problems = [] if secret.unreadable else [*secret.damage, *_of_state(installation, secret, place, now)]
    current = state.current
    report = CertificateReport(
        source="secret",
        place=place,
        renewed_by="administrator" if secret.is_of_administrator else "vmguard",
        ca=_certificate(current.certificate, now) if current else None,
        renew_at=current.renew_at if current and not secret.is_of_administrator else None,
        phase=_phase(state, found),
        next=_certificate(state.next.certificate, now) if state.next else None,
        old=tuple(_certificate(each, now) for each in state.old),
        old_until=state.old_until,
        configurations=statuses,
    )
    return _concluded(report, problems, (secret.unreadable, *(each.unreadable for each in found)))


def of_files(
    installation: Installation, files: ReadFiles, configurations: Iterable[ReadConfiguration], *, now: datetime
) -> CertificateReport:
    """The report of an installation that serves the certificate of files."""
    found = tuple(configurations)
    leaf = files.leaf
    statuses = tuple(
        _configuration(each, (_by_leaf(entry, leaf, installation, now) for entry in each.entries or ()))
        for each in found
    )
    fault = leaf.untimely(now=now) if leaf else None
    report = CertificateReport(
        source="files",
        place=files.directory,
        renewed_by="others",
        certificate=_certificate(certificates_in(leaf.chain_pem, "tls.crt")[0], now) if leaf else None,
        configurations=statuses,
    )
    problems = [f"{files.directory}/tls.crt: {fault}. Put a certificate there that is valid now."] if fault else []
    return _concluded(report, problems, (files.unreadable, *(each.unreadable for each in found)))


def _concluded(report: CertificateReport, problems: Iterable[str], unreadable: Iterable[str]) -> CertificateReport:
    """The report with all that must be done, and what could not be read."""
    every = (*problems, *_problems_of(report.configurations))
    missing = tuple(filter(None, unreadable))
    return msgspec.structs.replace(
        report, ok=not every and not missing, complete=not missing, problems=every, unreadable=missing
    )


def _problems_of(configurations: Iterable[ConfigurationStatus]) -> Iterator[str]:
    for each in configurations:
        if each.problem:
            yield each.problem
        alike: dict[str, list[str]] = {}
        for entry in each.entries:
            alike.setdefault(entry.problem, []).append(entry.name)
        for problem, names in alike.items():
            if problem:
                which = f"Each of the entries {', '.join(names)}" if len(names) > 1 else f"The entry {names[0]}"
                yield f"{which} of {each.kind} {each.name} {problem}"


def _of_state(installation: Installation, secret: ReadSecret, place: str, now: datetime) -> Iterator[str]:
    """What a person must do about the CA in a Secret that was read."""
    if secret.state is None:
        yield (
            f"The {place} does not exist. If vmguard is in another namespace, use --namespace. Otherwise run `kubectl "
            f"create secret generic {installation.secret} --namespace {installation.namespace}`; then the leader "
            "writes its CA there."
        )
        return
    state, current = secret.state, secret.state.current
    if current is None:
        yield f"The {place} has no CA. {_to_make_one(installation, secret)}"
        return
    end = current.certificate.not_valid_after_utc
    if not current.valid_at(now):
        yield f"The CA is valid from {_time(current.certificate.not_valid_before_utc)} until {_time(end)}, not now."
        yield _to_make_one(installation, secret) if secret.is_of_administrator else _LEADER_WRITES
    elif secret.is_of_administrator:
        if now >= end - NOTICE:
            yield f"The CA ends at {_time(end)}, and vmguard does not renew it. Rotate it by hand, see {_PAGE}."
    else:
        yield from _overdue(state, current, now)


def _overdue(state: Rotation, current: Authority, now: datetime) -> Iterator[str]:
    """What the leader should have done by now."""
    read = "Check that a replica runs and leads, and read its log."
    if state.next:
        began = state.next.certificate.not_valid_before_utc + BACKDATE
        if now > began + _STUCK:
            yield f"The rotation that began at {_time(began)} does not go on. {read}"
    elif now > current.renew_at + _OVERDUE:
        yield f"The leader should have renewed the CA at {_time(current.renew_at)}. {read}"
    if state.old and (state.old_until is None or now > state.old_until + _STUCK):
        yield f"The leader should have removed the old CA at {_time(state.old_until)}. {read}"


def _to_make_one(installation: Installation, secret: ReadSecret) -> str:
    if secret.is_of_administrator:
        return (
            f"vmguard makes none, as {MANAGED_BY} or WATCH_NAMESPACE says so. Run `vmguard certs init --namespace "
            f"{installation.namespace} --service {installation.service}`, see {_PAGE}."
        )
    return (
        "The leader writes one at its start. If vmguard runs, read its log. If it uses files (VMGUARD_CERT_DIR), run "
        f"this command in its pod, or use --cert-dir. With WATCH_NAMESPACE run `vmguard certs init --namespace "
        f"{installation.namespace} --service {installation.service}`."
    )


def _phase(state: Rotation, found: Iterable[ReadConfiguration]) -> Literal["none", "installing", "waiting", "retiring"]:
    if state.next:
        bundles = [in_bundle(entry) or () for each in found for entry in each.entries or ()]
        return "waiting" if all(state.next.certificate in bundle for bundle in bundles) else "installing"
    return "retiring" if state.old else "none"


def _configuration(read: ReadConfiguration, entries: Iterable[EntryStatus]) -> ConfigurationStatus:
    statuses = tuple(entries)
    problem = ""
    if read.unreadable:
        return ConfigurationStatus(read.kind, read.name, ok=False)
    if read.entries is None:
        problem = f"There is no {read.kind} {read.name}: the API server does not call vmguard. Apply the manifests."
    elif not statuses:
        problem = f"No entry of {read.kind} {read.name} calls vmguard's Service. Apply the manifests."
    return ConfigurationStatus(
        read.kind, read.name, ok=not problem and all(each.ok for each in statuses), entries=statuses, problem=problem
    )


def _by_state(entry: WebhookEntry, state: Rotation, secret: ReadSecret) -> EntryStatus:
    """Compare the bundle of an entry with what the state in the Secret trusts."""
    found = in_bundle(entry)
    trusts = tuple(key_id(each) for each in found or ())
    if secret.unreadable or state.current is None:
        return EntryStatus(entry.name, ok=False, trusts=trusts, note="not compared: no CA is known")
    remedy = f"Write it with `vmguard certs trust`, see {_PAGE}." if secret.is_of_administrator else _LEADER_WRITES
    if found is None:
        what = "cannot be read" if entry.bundle else "is missing"
        problem = f"does not trust vmguard: its caBundle {what}, so the API server refuses the certificate. {remedy}"
        return EntryStatus(entry.name, ok=False, problem=problem)
    missing = [each for each in state.trusted if each not in found]
    if state.current.certificate in missing:
        problem = (
            f"does not trust the CA {_short(state.current.certificate)}, so the API server refuses vmguard's "
            f"certificate. {remedy}"
        )
        return EntryStatus(entry.name, ok=False, trusts=trusts, problem=problem)
    if state.next and state.next.certificate in missing:
        note = f"does not trust the next CA {_short(state.next.certificate)} yet"
        return EntryStatus(entry.name, ok=True, trusts=trusts, note=note)
    if missing:
        problem = f"does not trust the old CA {_names(missing)}, which replicas may still use. {remedy}"
        return EntryStatus(entry.name, ok=False, trusts=trusts, problem=problem)
    extra = [each for each in found if each not in state.trusted]
    if extra and not secret.is_of_administrator:
        problem = f"also trusts {_names(extra)}, which the Secret does not have. {_LEADER_WRITES}"
        return EntryStatus(entry.name, ok=False, trusts=trusts, problem=problem)
    note = f"also trusts {_names(extra)}, the next or an old CA" if extra else ""
    return EntryStatus(entry.name, ok=True, trusts=trusts, note=note)


def _by_leaf(entry: WebhookEntry, leaf: Leaf | None, installation: Installation, now: datetime) -> EntryStatus:
    """Compare the bundle of an entry with the serving certificate."""
    found = in_bundle(entry)
    trusts = tuple(key_id(each) for each in found or ())
    if leaf is None:
        return EntryStatus(entry.name, ok=False, trusts=trusts, note="not compared: no certificate is known")
    if not entry.bundle and not entry.service:
        return EntryStatus(entry.name, ok=True, note="a URL without caBundle: public CAs verify it")
    if found is None:
        what = "cannot be read" if entry.bundle else "is missing"
        problem = f"does not trust vmguard: its caBundle {what}. Write the CA of tls.crt with `vmguard certs trust`."
        return EntryStatus(entry.name, ok=False, problem=problem)
    names = (installation.server_name,) if entry.service else ()
    fault = leaf.why_unusable(now=now, names=names, authority_pem=entry.bundle)
    if fault is None or fault == leaf.untimely(now=now):  # which is reported once, of the certificate
        return EntryStatus(entry.name, ok=True, trusts=trusts)
    remedy = "Write its CA with `vmguard certs trust`." if fault.kind == FaultKind.NOT_SIGNED else "Renew tls.crt."
    problem = f"does not trust the certificate in tls.crt: {fault}. {remedy}"
    return EntryStatus(entry.name, ok=False, trusts=trusts, problem=problem)


def in_bundle(entry: WebhookEntry) -> tuple[x509.Certificate, ...] | None:
    """The certificates of an entry's bundle, None where there are none or they cannot be read."""
    try:
        return certificates_in(entry.bundle, "the bundle") or None if entry.bundle else None
    except CertificateError:
        return None


def _certificate(certificate: x509.Certificate, now: datetime) -> SeenCertificate:
    end = certificate.not_valid_after_utc
    return SeenCertificate(
        key_id=key_id(certificate),
        serial=f"{certificate.serial_number:x}",
        not_before=certificate.not_valid_before_utc,
        not_after=end,
        days_left=(end - now).days,
    )


def key_id(certificate: x509.Certificate) -> str:
    """The identifier of a certificate's key, hexadecimal: that of its extension, else made from the key."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except (x509.ExtensionNotFound, ValueError):
        found = x509.SubjectKeyIdentifier.from_public_key(certificate.public_key())
    return found.digest.hex()


def _short(certificate: x509.Certificate) -> str:
    return key_id(certificate)[:8]


def _names(certificates: Iterable[x509.Certificate]) -> str:
    return ", ".join(map(_short, certificates))


def _time(moment: datetime | None) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC") if moment else "an unknown time"


def as_json(report: CertificateReport) -> str:
    """The report for programs, one object, indented."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2).decode() + "\n"


_RENEWED_BY = {
    "vmguard": "vmguard makes and renews it",
    "administrator": "an administrator makes and renews it",
    "others": "",
}

_PHASES = {
    "none": "none",
    "installing": "phase 1: the leader writes the next CA into both configurations, within seconds",
    "waiting": f"phase 2: the next CA signs once both configurations have had it for {OVERLAP.seconds} seconds",
    "retiring": "phase 3: the CA signs, and the old one is still trusted",
}


def as_text(report: CertificateReport) -> str:
    """The report for people."""
    rows = list(_about(report))
    width = max(len(name) for name, _ in rows)
    lines = [f"{name:{width}}  {text}" for name, text in rows]
    lines += ["", *_table_of(report.configurations)]
    lines += ["", *_conclusion(report)]
    return "\n".join(lines) + "\n"


def _about(report: CertificateReport) -> Iterator[tuple[str, str]]:
    if report.source == "files":
        yield "source", f"files in {report.place}: cert-manager or you renew them"
        yield from _rows("certificate", report.certificate)
        return
    yield "source", report.place
    yield from _rows("CA", report.ca)
    if report.ca:
        renewal = f", at {_time(report.renew_at)}" if report.renew_at else ""
        yield "renewal", f"{_RENEWED_BY[report.renewed_by]}{renewal}"
    yield "rotation", _PHASES[report.phase]
    if report.next:
        yield from _rows("next CA", report.next)
    for each in report.old:
        yield "old CA", f"{each}, trusted until {_time(report.old_until)}"


def _rows(name: str, certificate: SeenCertificate | None) -> Iterator[tuple[str, str]]:
    if certificate is None:
        yield name, "none"
        return
    yield name, str(certificate)
    period = f"{_time(certificate.not_before)} until {_time(certificate.not_after)}"
    yield "  valid", f"{period}, {certificate.days_left} days left"


def _table_of(configurations: Iterable[ConfigurationStatus]) -> Iterator[str]:
    rows = [("CONFIGURATION", "ENTRY", "CA BUNDLE")]
    for each in configurations:
        place = f"{each.kind} {each.name}"
        if not each.entries:
            rows.append((place, "", "WRONG" if each.problem else "not known"))
        rows += ((place, entry.name, _word(entry)) for entry in each.entries)
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    for place, entry_name, word in rows:
        yield f"{place:{widths[0]}}  {entry_name:{widths[1]}}  {word}"


def _word(entry: EntryStatus) -> str:
    word = "ok" if entry.ok else "WRONG" if entry.problem else "not known"
    return f"{word} ({entry.note})" if entry.note else word


def _conclusion(report: CertificateReport) -> Iterator[str]:
    for each in report.unreadable:
        yield f"Not read: {each}"
    for each in report.problems:
        yield f"To do: {each}"
    for each in report.weaker:
        yield f"Weaker than the manifests, on purpose or not: {each}."
    if report.ok:
        yield "The certificates are well." if report.weaker else "All is well."
